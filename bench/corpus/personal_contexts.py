"""Sentence frames, by language, in which an identifying number naturally stands.

``<label>`` is what the number is called in that language; ``{}`` is the place of the value.
"""

from random import Random

from bench.corpus.draw import lines

FRAMES: dict[str, list[str]] = {
    "en": lines("""
        My <label> is {}.
        Please update the file: <label> {}.
        The customer gave this <label>: {}, can you draft the reply?
        Hi, could you fill in the form for me? <label>: {}
        I need a letter to the office, my <label> {} must be in the header.
        <label>: {}
        Here are the details of the applicant, <label> {}, born in the capital.
        Is {} a valid <label>? The clerk says it is not.
    """),
    "fr": lines("""
        Mon <label> est {}.
        Voici le <label> du client : {}.
        <label> : {}
        Peux-tu rédiger un courrier à la préfecture avec mon <label> {} ?
        Le dossier mentionne le <label> {} et une adresse à Lyon.
        Merci de corriger cette fiche, <label> {}, avant demain.
    """),
    "es": lines("""
        Mi <label> es {}.
        <label>: {}
        Redacta una carta para el banco con mi <label> {}.
        El cliente indicó el <label> {} en el formulario.
        ¿Puedes comprobar el <label> {} antes de enviarlo?
    """),
    "it": lines("""
        Il mio <label> è {}.
        <label>: {}
        Scrivi una lettera all'ufficio con il mio <label> {}.
        Il paziente ha indicato il <label> {} nel modulo.
    """),
    "de": lines("""
        Meine <label> lautet {}.
        <label>: {}
        Bitte schreibe einen Brief an das Amt, meine <label> ist {}.
        Im Antrag steht die <label> {}, stimmt das?
    """),
    "nl": lines("""
        Mijn <label> is {}.
        <label>: {}
        Schrijf een brief aan de gemeente met mijn <label> {}.
        Op het formulier staat het <label> {}.
    """),
    "pt": lines("""
        O meu <label> é {}.
        <label>: {}
        Escreva um e-mail ao banco com o meu <label> {}.
        O cliente informou o <label> {} no cadastro.
    """),
    "pl": lines("""
        Mój <label> to {}.
        <label>: {}
        Napisz pismo do urzędu, mój <label> to {}.
        W formularzu podano <label> {}.
    """),
    "sv": lines("""
        Mitt <label> är {}.
        <label>: {}
        Skriv ett brev till Skatteverket, mitt <label> är {}.
        Patientens <label> är {}.
    """),
    "no": lines("""
        Mitt <label> er {}.
        <label>: {}
        Skriv et brev til NAV, mitt <label> er {}.
        Pasientens <label> er {}.
    """),
    "da": lines("""
        Mit <label> er {}.
        <label>: {}
        Skriv et brev til kommunen, mit <label> er {}.
    """),
    "fi": lines("""
        Minun <label> on {}.
        <label>: {}
        Kirjoita kirje Kelalle, <label> on {}.
    """),
    "is": lines("""
        Mín <label> er {}.
        <label>: {}
    """),
    "ro": lines("""
        <label> meu este {}.
        <label>: {}
        Scrie o cerere către primărie, <label> {}.
    """),
    "bg": lines("""
        Моето <label> е {}.
        <label>: {}
        Напиши молба до общината, <label> {}.
    """),
    "hr": lines("""
        Moj <label> je {}.
        <label>: {}
        Napiši dopis banci, moj <label> je {}.
    """),
    "sr": lines("""
        Moj <label> je {}.
        <label>: {}
        Napiši molbu opštini, <label> {}.
    """),
    "sl": lines("""
        Moj <label> je {}.
        <label>: {}
    """),
    "tr": lines("""
        Benim <label> {}.
        <label>: {}
        Bankaya bir dilekçe yaz, <label> {}.
        Hastanın <label> {} olarak kayıtlı.
    """),
    "he": lines("""
        <label> שלי הוא {}.
        <label>: {}
        נא לכתוב מכתב לבנק, <label> {}.
    """),
    "zh": lines("""
        我的<label>是{}。
        <label>：{}
        请帮我写一封申请信，<label> {}。
        客户登记的<label>为 {} ，请核对。
    """),
    "ko": lines("""
        제 <label>는 {} 입니다.
        <label>: {}
        신청서를 작성해 주세요. <label> {}
    """),
    "ja": lines("""
        私の<label>は{}です。
        <label>：{}
        申請書を書いてください。<label>は {} です。
    """),
    "lt": lines("""
        Mano <label> yra {}.
        <label>: {}
        Parašyk prašymą savivaldybei, <label> {}.
    """),
    "lv": lines("""
        Mans <label> ir {}.
        <label>: {}
    """),
    "et": lines("""
        Minu <label> on {}.
        <label>: {}
        Kirjuta avaldus pangale, <label> {}.
    """),
    "cs": lines("""
        Moje <label> je {}.
        <label>: {}
        Napiš dopis pojišťovně, <label> {}.
    """),
    "el": lines("""
        Ο <label> μου είναι {}.
        <label>: {}
        Γράψε μια αίτηση στον δήμο, <label> {}.
    """),
    "th": lines("""
        <label>ของฉันคือ {}
        <label>: {}
        ช่วยเขียนจดหมายถึงธนาคาร <label> {}
    """),
    "uk": lines("""
        Мій <label> {}.
        <label>: {}
        Напиши заяву до банку, <label> {}.
    """),
    "ar": lines("""
        <label> الخاص بي هو {}.
        <label>: {}
        اكتب رسالة إلى البنك، <label> {}.
    """),
    "hi": lines("""
        मेरा <label> {} है।
        <label>: {}
        बैंक के लिए एक पत्र लिखें, <label> {}
    """),
    "hu": lines("""
        A <label> {}.
        <label>: {}
        Írj levelet az önkormányzatnak, <label>: {}.
    """),
}


def context(rng: Random, labels: dict[str, list[str]]) -> str:
    """Return a sentence template for a number called `labels[language]`, in one of those languages."""
    language = rng.choice(list(labels))
    frame = rng.choice(FRAMES[language]).replace(
        "<label>", rng.choice(labels[language])
    )
    return frame[:1].upper() + frame[1:] if rng.random() < 0.9 else frame
