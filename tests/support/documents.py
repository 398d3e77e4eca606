"""Documents for tests: the smallest that readers take."""

import io
import zipfile
from xml.sax.saxutils import escape

W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
S = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
A = "http://schemas.openxmlformats.org/drawingml/2006/main"
P = "http://schemas.openxmlformats.org/presentationml/2006/main"
OFFICE = "urn:oasis:names:tc:opendocument:xmlns:office:1.0"
TEXT = "urn:oasis:names:tc:opendocument:xmlns:text:1.0"


def pdf(*pages: str) -> bytes:
    """A PDF with a page for each text, in Helvetica."""
    count = len(pages)
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(count))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {count} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for number, text in enumerate(pages):
        lines = " T* ".join(f"({_in_pdf(line)}) Tj" for line in text.split("\n"))
        stream = f"BT /F1 12 Tf 14 TL 40 780 Td {lines} ET" if text else ""
        objects += [
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Resources << /Font << /F1 3 0 R >> >> /Contents {5 + 2 * number} 0 R >>",
            f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream",
        ]
    out, places = io.BytesIO(), []
    out.write(b"%PDF-1.4\n")
    for number, content in enumerate(objects, 1):
        places.append(out.tell())
        out.write(f"{number} 0 obj\n{content}\nendobj\n".encode("latin-1"))
    start = out.tell()
    out.write(f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode())
    out.writelines(f"{place:010} 00000 n \n".encode() for place in places)
    out.write(
        f"trailer << /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF".encode()
    )
    return out.getvalue()


def _in_pdf(line: str) -> str:
    return line.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")


def package(members: dict[str, str | bytes]) -> bytes:
    """A zip."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def docx(*paragraphs: str, **more: str | bytes) -> bytes:
    """A document of Word. A text is parted into runs, as Word does where spelling was checked."""
    body = "".join(
        f"<w:p><w:r><w:t>{escape(text[:9])}</w:t></w:r><w:r><w:t>{escape(text[9:])}</w:t></w:r></w:p>"
        for text in paragraphs
    )
    document = f'<w:document xmlns:w="{W}"><w:body>{body}</w:body></w:document>'
    return package({"[Content_Types].xml": "<Types/>", "word/document.xml": document, **more})  # fmt: skip


def xlsx(*rows: tuple[str, ...]) -> bytes:
    """A workbook of Excel, with its strings shared."""
    strings = [cell for row in rows for cell in row]
    shared = "".join(f"<si><t>{escape(cell)}</t></si>" for cell in strings)
    number = iter(range(len(strings)))
    lines = "".join(
        f"<row>{''.join(f'<c t="s"><v>{next(number)}</v></c>' for _ in row)}</row>"
        for row in rows
    )
    return package(
        {
            "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{S}"><sheetData>{lines}</sheetData></worksheet>',
            "xl/sharedStrings.xml": f'<sst xmlns="{S}">{shared}</sst>',
        }
    )


def pptx(*slides: str) -> bytes:
    """Slides of PowerPoint."""
    return package(
        {
            f"ppt/slides/slide{number}.xml": f'<p:sld xmlns:p="{P}" xmlns:a="{A}"><a:p><a:r><a:t>{escape(text)}</a:t></a:r></a:p></p:sld>'
            for number, text in enumerate(slides, 1)
        }
    )


def odt(*paragraphs: str) -> bytes:
    """A text of OpenDocument."""
    body = "".join(f"<t:p>{escape(text)}</t:p>" for text in paragraphs)
    return package({"mimetype": "application/vnd.oasis.opendocument.text", "content.xml": f'<o:doc xmlns:o="{OFFICE}" xmlns:t="{TEXT}">{body}</o:doc>'})  # fmt: skip
