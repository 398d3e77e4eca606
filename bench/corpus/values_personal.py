"""Random personal data with right check digits, each with a sentence in which it naturally stands."""

from collections.abc import Callable
from random import Random
from typing import NamedTuple

from bench.corpus import personal_europe as europe
from bench.corpus import personal_world as world
from bench.corpus.personal_contexts import context

Labels = dict[str, list[str]]


class Value(NamedTuple):
    """A value and a sentence template with ``{}`` at its place."""

    text: str
    context: str


def _of(
    make: Callable[[Random], str], **labels: list[str]
) -> Callable[[Random], Value]:
    return lambda rng: Value(make(rng), context(rng, labels))


def _card(
    prefixes: tuple[str, ...], size: int, brand: str
) -> Callable[[Random], Value]:
    labels: Labels = {
        "en": [
            f"{brand} card number",
            "credit card number",
            "card number",
            f"{brand} number",
        ],
        "fr": ["numéro de carte bancaire", f"numéro de carte {brand}"],
        "es": ["número de tarjeta", f"número de tarjeta {brand}"],
        "de": ["Kreditkartennummer", f"{brand}-Kartennummer"],
        "ar": ["رقم البطاقة البنكية", "رقم بطاقة الائتمان"],
    }
    return lambda rng: Value(world.card(rng, prefixes, size), context(rng, labels))


_IBAN_LABELS: Labels = {
    "en": ["IBAN", "account number (IBAN)", "bank account"],
    "fr": ["IBAN", "compte bancaire", "RIB (IBAN)"],
    "de": ["IBAN", "Bankverbindung"],
    "es": ["IBAN", "número de cuenta"],
    "it": ["IBAN", "conto corrente"],
    "nl": ["IBAN", "rekeningnummer"],
    "pt": ["IBAN", "número de conta"],
    "pl": ["IBAN", "numer konta"],
    "ar": ["رقم الحساب البنكي (IBAN)", "رقم الآيبان"],
}


def _iban(rng: Random) -> Value:
    text, language = world.iban_number(rng)
    chosen = language if rng.random() < 0.7 else "en"
    return Value(text, context(rng, {chosen: _IBAN_LABELS[chosen]}))


PERSONAL: dict[str, Callable[[Random], Value]] = {
    "card_visa": _card(("4",), 16, "Visa"),
    "card_mastercard": _card(
        ("51", "52", "53", "54", "55", "2221", "2720", "25"), 16, "Mastercard"
    ),
    "card_amex": _card(("34", "37"), 15, "Amex"),
    "card_discover": _card(("6011", "65"), 16, "Discover"),
    "card_jcb": _card(("3528", "3560", "3589"), 16, "JCB"),
    "iban": _iban,
    "imei": _of(
        world.imei, en=["IMEI", "phone's IMEI number"], fr=["numéro IMEI"], es=["IMEI"]
    ),
    "fr_nir": _of(
        europe.fr_nir,
        fr=["numéro de sécurité sociale", "NIR", "numéro de sécu"],
        en=["French social security number"],
    ),
    "fr_siret": _of(europe.fr_siret, fr=["SIRET", "numéro SIRET"], en=["SIRET number"]),
    "es_dni": _of(
        europe.es_dni, es=["DNI", "número de DNI", "NIF"], en=["Spanish DNI"]
    ),
    "es_nie": _of(europe.es_nie, es=["NIE", "número de NIE"], en=["Spanish NIE"]),
    "it_codice_fiscale": _of(
        europe.it_codice_fiscale,
        it=["codice fiscale"],
        en=["Italian tax code (codice fiscale)"],
    ),
    "de_steuer_id": _of(
        europe.de_steuer_id,
        de=[
            "Steuer-ID",
            "steuerliche Identifikationsnummer",
            "Steueridentifikationsnummer",
        ],
        en=["German tax ID"],
    ),
    "de_rvnr": _of(
        europe.de_rvnr,
        de=["Rentenversicherungsnummer", "Sozialversicherungsnummer"],
        en=["German social insurance number"],
    ),
    "nl_bsn": _of(europe.nl_bsn, nl=["BSN", "burgerservicenummer"], en=["Dutch BSN"]),
    "be_national": _of(
        europe.be_national,
        nl=["rijksregisternummer"],
        fr=["numéro national", "numéro de registre national"],
    ),
    "pt_nif": _of(
        europe.pt_nif, pt=["NIF", "número de contribuinte"], en=["Portuguese NIF"]
    ),
    "pl_pesel": _of(europe.pl_pesel, pl=["PESEL", "numer PESEL"], en=["Polish PESEL"]),
    "se_personnummer": _of(
        europe.se_personnummer,
        sv=["personnummer"],
        en=["Swedish personal number (personnummer)"],
    ),
    "no_fodselsnummer": _of(
        europe.no_fodselsnummer,
        no=["fødselsnummer", "personnummer"],
        en=["Norwegian national ID"],
    ),
    "dk_cpr": _of(
        europe.dk_cpr, da=["CPR-nummer", "cpr-nr."], en=["Danish CPR number"]
    ),
    "fi_hetu": _of(
        europe.fi_hetu,
        fi=["henkilötunnus", "hetu"],
        en=["Finnish personal identity code"],
    ),
    "is_kennitala": _of(
        europe.is_kennitala, **{"is": ["kennitala"]}, en=["Icelandic kennitala"]
    ),
    "ch_ahv": _of(
        europe.ch_ahv,
        de=["AHV-Nummer", "Sozialversicherungsnummer"],
        fr=["numéro AVS"],
        it=["numero AVS"],
    ),
    "ro_cnp": _of(
        europe.ro_cnp,
        ro=["CNP-ul", "codul numeric personal", "CNP"],
        en=["Romanian CNP"],
    ),
    "bg_egn": _of(europe.bg_egn, bg=["ЕГН"], en=["Bulgarian EGN"]),
    "hr_oib": _of(europe.hr_oib, hr=["OIB"], en=["Croatian OIB"]),
    "rs_jmbg": _of(europe.rs_jmbg, sr=["JMBG", "matični broj"], en=["Serbian JMBG"]),
    "si_emso": _of(europe.si_emso, sl=["EMŠO"], en=["Slovenian EMŠO"]),
    "lt_ak": _of(europe.baltic, lt=["asmens kodas"], en=["Lithuanian personal code"]),
    "ee_ik": _of(europe.baltic, et=["isikukood"], en=["Estonian personal code"]),
    "lv_pk": _of(europe.lv_pk, lv=["personas kods"], en=["Latvian personal code"]),
    "cz_rc": _of(europe.cz_rc, cs=["rodné číslo"], en=["Czech birth number"]),
    "gr_amka": _of(europe.gr_amka, el=["ΑΜΚΑ"], en=["Greek AMKA"]),
    "gb_nhs": _of(europe.gb_nhs, en=["NHS number", "NHS no", "patient's NHS number"]),
    "ie_pps": _of(europe.ie_pps, en=["PPS number", "PPSN"]),
    "ua_rnokpp": _of(
        europe.ua_rnokpp, uk=["ІПН", "РНОКПП"], en=["Ukrainian tax number"]
    ),
    "tr_tckn": _of(
        world.tr_tckn,
        tr=["TC kimlik numaram", "T.C. kimlik no"],
        en=["Turkish identity number"],
    ),
    "il_id": _of(
        world.il_id, he=["מספר תעודת זהות", "מספר הזהות"], en=["Israeli ID number"]
    ),
    "za_id": _of(world.za_id, en=["South African ID number", "SA ID number"]),
    "in_aadhaar": _of(
        world.in_aadhaar, en=["Aadhaar number", "Aadhaar"], hi=["आधार नंबर"]
    ),
    "cn_resident": _of(
        world.cn_resident,
        zh=["身份证号", "身份证号码", "居民身份证"],
        en=["Chinese resident ID"],
    ),
    "kr_rrn": _of(
        world.kr_rrn, ko=["주민등록번호"], en=["Korean resident registration number"]
    ),
    "jp_my_number": _of(
        world.jp_my_number, ja=["マイナンバー", "個人番号"], en=["Japanese My Number"]
    ),
    "tw_id": _of(world.tw_id, zh=["身分證字號", "統一編號"], en=["Taiwan ID number"]),
    "sg_nric": _of(world.sg_nric, en=["NRIC", "NRIC number"]),
    "th_id": _of(
        world.th_id, th=["เลขบัตรประชาชน", "เลขประจำตัวประชาชน"], en=["Thai ID number"]
    ),
    "sa_id": _of(
        world.sa_id, ar=["رقم الهوية الوطنية", "رقم الإقامة"], en=["Saudi national ID"]
    ),
    "br_cpf": _of(world.br_cpf, pt=["CPF", "número do CPF"], en=["Brazilian CPF"]),
    "br_cnpj": _of(world.br_cnpj, pt=["CNPJ"], en=["Brazilian CNPJ"]),
    "cl_rut": _of(world.cl_rut, es=["RUT", "RUN"], en=["Chilean RUT"]),
    "mx_curp": _of(world.mx_curp, es=["CURP"], en=["Mexican CURP"]),
    "ar_cuit": _of(world.ar_cuit, es=["CUIT", "CUIL"], en=["Argentine CUIT"]),
    "ec_cedula": _of(
        world.ec_cedula,
        es=["número de cédula", "documento (cédula ecuatoriana)"],
        en=["Ecuadorian cedula number"],
    ),
    "ca_sin": _of(
        world.ca_sin,
        en=["SIN", "social insurance number"],
        fr=["numéro d'assurance sociale", "NAS"],
    ),
    "us_npi": _of(world.us_npi, en=["NPI", "NPI number", "provider NPI"]),
    "au_tfn": _of(world.au_tfn, en=["TFN", "tax file number"]),
    "nz_ird": _of(world.nz_ird, en=["IRD number", "New Zealand IRD number"]),
    "lei": _of(world.lei, en=["LEI", "legal entity identifier"], fr=["code LEI"]),
}
