"""Harmless prose in five languages, composed from sentence grammars with large vocabularies."""

from random import Random

from bench.corpus.draw import expand, lines

Grammar = dict[str, list[str]]


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.replace("\n", " ").split("|") if part.strip()]


_NUMBERS: Grammar = {
    "n": [str(n) for n in range(2, 60)],
    "big": [f"{n} {m:03}" for n in range(1, 40, 3) for m in range(0, 1000, 137)],
    "hour": [f"{h}:{m:02}" for h in range(7, 22) for m in (0, 10, 15, 30, 40, 45)],
    "price": [f"{n}.{c:02}" for n in range(3, 480, 7) for c in (0, 50, 90, 95)],
    "pricec": [f"{n},{c:02}" for n in range(3, 480, 7) for c in (0, 50, 90, 95)],
    "year": [str(y) for y in range(1985, 2027)],
    "day": [str(d) for d in range(1, 29)],
    "pct": [str(d) for d in range(2, 96)],
}

ENGLISH: Grammar = _NUMBERS | {
    "s": lines("""
        The <team> will <verb> the <thing> before <day> <month>, because <reason>.
        We <past> the <adj> <thing> in <city> and it cost about <price> euros.
        On <day> <month> <year> the <team> <past> a <adj> <thing>, and <reason>.
        My <person> would like to <verb> a <thing> for <n> people; could you suggest <suggest>?
        I have had <symptom> since <day> <month>; should I <care> or simply wait <n> days?
        Sales in <city> rose by <pct> percent, while <thing> costs fell by <pct> percent.
        The train to <city> leaves at <hour> and arrives at <hour>, so there is time to <verb> the <thing>.
        Could you rewrite this paragraph so that it sounds more <adj> and less <adj>?
        In <city> we stayed <n> nights in a <adj> hotel with a view of the <place>, for <price> per night.
        According to the report, <pct> percent of customers prefer a <adj> <thing>.
        If <reason>, the <team> should <verb> the <thing> again in <month>.
        She told us that the <place> was <adj> and that the <food> tasted <adj>.
        Please add <n> slices of bread, <n> eggs and some <food> to the list, and <verb> the <thing>.
        The meeting at <hour> is about the <thing>; bring the <adj> version and the <n> slides.
        Nobody expected that <reason>, yet the <team> had already <past> the <thing>.
        After <n> kilometres the path crosses the <place>, where you can eat <food>.
        The doctor recommended to <care>, to drink more water and to come back in <n> weeks.
        The novel, published in <year>, describes how a <person> <past> a <thing> in <city>.
        What is the difference between a <adj> <thing> and a <adj> one, and which is better for a <team>?
        Our budget for <month> is <big> euros, of which <pct> percent goes to the <thing>.
    """),
    "team": _split(
        "marketing team|board|finance department|supplier|product group|school committee|design agency|warehouse crew|choir|"
        "support desk|legal office|city council|architects|research unit|volunteers|sales force|catering company|editors"
    ),
    "verb": _split(
        "review|finish|postpone|order|discuss|organise|translate|measure|repair|compare|present|simplify|paint|test|ship|evaluate|"
        "renew|describe|plan|cancel|move|photograph|weigh|summarise"
    ),
    "past": _split(
        "approved|bought|replaced|launched|described|restored|delivered|lost|improved|inspected|rented|built|published|designed|"
        "found|sold|repaired|tested|cancelled|announced"
    ),
    "thing": _split(
        "contract|brochure|bicycle|annual report|garden shed|newsletter|kitchen table|software release|invoice template|exhibition|"
        "delivery schedule|training course|solar panel|survey|coffee machine|roadmap|wedding cake|travel guide|dashboard|lease|"
        "prototype|customer journey|library catalogue|playground|recipe book|insurance policy|stock forecast|piano"
    ),
    "adj": _split(
        "simple|modern|quiet|expensive|colourful|reliable|formal|unusual|short|generous|clear|practical|traditional|fragile|bright|"
        "salty|warm|affordable|ambitious|friendly|detailed|lighter|surprising"
    ),
    "reason": _split(
        "the weather has changed|demand is growing|the supplier was late|two colleagues are on leave|prices went up again|"
        "the old one is broken|customers asked for it|the deadline moved|the tests were encouraging|the harbour is closed|"
        "nobody read the manual|the exchange rate fell|the budget was approved|the season starts early"
    ),
    "person": _split(
        "sister|neighbour|manager|uncle|daughter|colleague|teacher|landlord|grandmother|best friend|tenant|cousin"
    ),
    "city": _split(
        "Lisbon|Oslo|Kyoto|Marrakesh|Montreal|Algiers|Vienna|Porto|Dublin|Ghent|Valparaíso|Hanoi|Tunis|Kraków|Bergen|Perth|Quito"
    ),
    "month": _split(
        "January|February|March|April|May|June|July|August|September|October|November|December"
    ),
    "place": _split(
        "harbour|old market|cathedral|river|botanical garden|castle|lighthouse|museum|lake|town hall|bridge|vineyard|station"
    ),
    "food": _split(
        "goat cheese|couscous|lemon tart|lentil soup|grilled fish|olives|fresh figs|rice pudding|rye bread|mushroom risotto"
    ),
    "symptom": _split(
        "a mild headache|a sore throat|back pain after gardening|trouble sleeping|a dry cough|itchy eyes|a stiff neck"
    ),
    "care": _split(
        "rest|see a doctor|take a day off|do some stretching|avoid coffee|use a humidifier|walk every day"
    ),
    "suggest": _split(
        "a quiet place|a menu|three options|something near the sea|a cheaper alternative|a good title|a realistic schedule"
    ),
}

FRENCH: Grammar = _NUMBERS | {
    "s": lines("""
        <equipe> va <verbe> <chose> avant le <day> <mois>, car <raison>.
        Nous avons <passe> <chose> à <ville> pour environ <pricec> euros.
        Le <day> <mois> <year>, <equipe> a <passe> <chose> et <raison>.
        Ma <proche> aimerait <verbe> <chose> pour <n> personnes, avez-vous une idée ?
        J'ai <symptome> depuis le <day> <mois>, faut-il <soin> ou attendre encore <n> jours ?
        Les ventes à <ville> ont augmenté de <pct> % alors que <raison>.
        Le train pour <ville> part à <hour> et arrive à <hour>, ce qui laisse le temps de <verbe> <chose>.
        Peux-tu réécrire ce paragraphe sur un ton plus <adj> et moins <adj> ?
        À <ville>, nous avons dormi <n> nuits près <lieu> pour <pricec> € la nuit.
        D'après le rapport, <pct> % des clients trouvent que c'est <adj>.
        Si <raison>, <equipe> devra <verbe> <chose> de nouveau au mois <mois2>.
        Ajoutez <n> œufs, <n> g de farine et <plat>, puis laissez reposer <n> minutes.
        La réunion de <hour> porte sur <chose> ; apportez les <n> diapositives.
        Après <n> kilomètres, le sentier passe près <lieu>, où l'on mange <plat>.
        Le roman, paru en <year>, raconte comment une <proche> a <passe> <chose> à <ville>.
        Le budget de l'année est de <big> euros, dont <pct> % pour <chose>.
    """),
    "equipe": _split(
        "l'équipe commerciale|le conseil municipal|le service comptable|notre fournisseur|l'association|la rédaction|le bureau d'études|"
        "le comité des fêtes|le syndic|l'atelier|la direction|le cabinet d'architectes|la chorale|le traiteur"
    ),
    "verbe": _split(
        "relire|terminer|reporter|commander|présenter|organiser|traduire|"
        "mesurer|réparer|comparer|simplifier|repeindre|tester|expédier|annuler|"
        "résumer|décrire|photographier|préparer|évaluer"
    ),
    "passe": _split(
        "validé|acheté|remplacé|lancé|restauré|livré|perdu|amélioré|inspecté|loué|construit|publié|dessiné|vendu|réparé|annoncé"
    ),
    "chose": _split(
        "le contrat|la brochure|le vélo|le rapport annuel|la cabane du jardin|la lettre d'information|la table de cuisine|l'exposition|"
        "le calendrier des livraisons|la formation|le panneau solaire|"
        "le sondage|la machine à café|le gâteau de mariage|le guide de voyage|"
        "le tableau de bord|le bail|la maquette|le catalogue|l'aire de jeux|le livre de recettes|le piano|la toiture"
    ),
    "raison": _split(
        "le temps a changé|la demande augmente|le fournisseur était en retard|deux collègues sont en congé|les prix ont encore monté|"
        "l'ancien est cassé|les clients le demandent|l'échéance a bougé|les essais sont encourageants|le port est fermé|"
        "personne n'a lu la notice|le budget est voté|la saison commence tôt"
    ),
    "adj": _split(
        "simple|moderne|calme|cher|coloré|fiable|formel|étonnant|court|généreux|clair|pratique|traditionnel|fragile|chaleureux|détaillé"
    ),
    "proche": _split(
        "sœur|voisine|cheffe|tante|fille|collègue|professeure|grand-mère|amie|locataire|cousine"
    ),
    "ville": _split(
        "Lyon|Nantes|Oran|Bruxelles|Genève|Québec|Strasbourg|Bordeaux|Annaba|Dakar|Liège|Lille|Ajaccio|Rabat|Namur|Grenoble"
    ),
    "mois": _split(
        "janvier|février|mars|avril|mai|juin|juillet|août|septembre|octobre|novembre|décembre"
    ),
    "mois2": _split(
        "de janvier|de février|de mars|de mai|de juin|de juillet|de septembre|de novembre"
    ),
    "lieu": _split(
        "du port|du vieux marché|de la cathédrale|de la rivière|du jardin botanique|du château|du phare|du musée|du lac|du pont|de la gare"
    ),
    "plat": _split(
        "du fromage de chèvre|un couscous|une tarte au citron|une soupe de lentilles|du poisson grillé|des olives|des figues|un riz au lait"
    ),
    "symptome": _split(
        "mal à la tête|mal à la gorge|mal au dos|des troubles du sommeil|une toux sèche|les yeux qui piquent|la nuque raide"
    ),
    "soin": _split(
        "me reposer|voir un médecin|m'étirer|éviter le café|boire plus d'eau|marcher chaque jour"
    ),
}

SPANISH: Grammar = _NUMBERS | {
    "s": lines("""
        <equipo> va a <verbo> <cosa> antes del <day> de <mes>, porque <razon>.
        Hemos podido <verbo> <cosa> en <ciudad> por unos <pricec> euros.
        El <day> de <mes> de <year> <equipo> decidió <verbo> <cosa>, y <razon>.
        Mi <familia> quiere <verbo> <cosa> para <n> personas, ¿alguna idea?
        Tengo <sintoma> desde el <day> de <mes>; ¿debo <cuidado> o esperar <n> días?
        Las ventas en <ciudad> subieron un <pct> % mientras <razon>.
        El tren a <ciudad> sale a las <hour> y llega a las <hour>, hay tiempo para <verbo> <cosa>.
        ¿Puedes reescribir este párrafo para que suene más <adj> y menos <adj>?
        En <ciudad> dormimos <n> noches cerca <lugar> por <pricec> € la noche.
        Según el informe, al <pct> % de los clientes le parece <adj>.
        Si <razon>, <equipo> tendrá que <verbo> <cosa> otra vez en <mes>.
        Añade <n> huevos, <n> g de harina y <comida>, y deja reposar <n> minutos.
        La reunión de las <hour> trata de <cosa>; trae las <n> diapositivas.
        A <n> kilómetros el camino pasa cerca <lugar>, donde sirven <comida>.
        El presupuesto del año es de <big> euros y el <pct> % se destina a <cosa>.
    """),
    "equipo": _split(
        "el equipo de ventas|el ayuntamiento|el departamento de finanzas|"
        "nuestro proveedor|la asociación|la redacción|el estudio de diseño|"
        "el comité|la directiva|el taller|la escuela|el grupo de teatro|la cooperativa"
    ),
    "verbo": _split(
        "revisar|terminar|aplazar|encargar|presentar|organizar|traducir|medir|reparar|comparar|simplificar|pintar|probar|enviar|cancelar|"
        "resumir|describir|fotografiar|preparar|evaluar|vender|restaurar"
    ),
    "cosa": _split(
        "el contrato|el folleto|la bicicleta|el informe anual|la caseta del jardín|el boletín|la mesa de la cocina|la exposición|"
        "el calendario de entregas|el curso|el panel solar|la encuesta|la cafetera|la tarta de boda|la guía de viaje|el alquiler|"
        "la maqueta|el catálogo|el parque infantil|el recetario|el piano|el tejado"
    ),
    "razon": _split(
        "el tiempo ha cambiado|la demanda crece|"
        "el proveedor llegó tarde|dos compañeros están de vacaciones|los precios subieron otra vez|"
        "el antiguo está roto|los clientes lo piden|la fecha cambió|las pruebas son buenas|el puerto está cerrado|nadie leyó el manual"
    ),
    "adj": _split(
        "sencillo|moderno|tranquilo|caro|colorido|fiable|formal|curioso|breve|generoso|claro|práctico|tradicional|frágil|cálido|detallado"
    ),
    "familia": _split(
        "hermana|vecina|jefa|tía|hija|compañera|profesora|abuela|amiga|prima"
    ),
    "ciudad": _split(
        "Sevilla|Bogotá|Lima|Valencia|Montevideo|Rosario|Bilbao|Quito|Oaxaca|Granada|Cádiz|Medellín|Santiago|Vigo|Cuenca"
    ),
    "mes": _split(
        "enero|febrero|marzo|abril|mayo|junio|julio|agosto|septiembre|octubre|noviembre|diciembre"
    ),
    "lugar": _split(
        "del puerto|del mercado|de la catedral|del río|del jardín botánico|del castillo|del faro|del museo|del lago|de la estación"
    ),
    "comida": _split(
        "queso de cabra|arroz con leche|tarta de limón|sopa de lentejas|pescado a la plancha|aceitunas|higos|tortilla|empanadas"
    ),
    "sintoma": _split(
        "dolor de cabeza|dolor de garganta|dolor de espalda|insomnio|tos seca|picor de ojos|el cuello rígido"
    ),
    "cuidado": _split(
        "descansar|ir al médico|estirar|evitar el café|beber más agua|caminar cada día"
    ),
}

GERMAN: Grammar = _NUMBERS | {
    "s": lines("""
        <Team> möchte <ding> bis zum <day>. <monat> <verb>, denn <grund>.
        Wir konnten <ding> in <stadt> für rund <pricec> Euro <verb>.
        Am <day>. <monat> <year> hat <team> beschlossen, <ding> zu <verb>, und <grund>.
        Meine <person> möchte <ding> für <n> Personen <verb>; hast du einen Vorschlag?
        Seit dem <day>. <monat> habe ich <symptom>; soll ich <pflege> oder noch <n> Tage warten?
        Der Umsatz in <stadt> ist um <pct> Prozent gestiegen, <grund>.
        Der Zug nach <stadt> fährt um <hour> Uhr ab und kommt um <hour> Uhr an.
        Kannst du diesen Absatz so umschreiben, dass er <adj> und weniger <adj> klingt?
        In <stadt> haben wir <n> Nächte <ort> geschlafen, für <pricec> Euro pro Nacht.
        Laut Bericht finden <pct> Prozent der Kunden das <adj>.
        Man nehme <n> Eier, <n> Gramm Mehl und <essen> und lasse alles <n> Minuten ruhen.
        In der Besprechung um <hour> Uhr geht es um die <n> Folien, <ding> wollen wir später <verb>.
        Nach <n> Kilometern kommt man <ort> vorbei und kann dort <essen> probieren.
        Das Jahresbudget beträgt <big> Euro, davon <pct> Prozent, um <ding> zu <verb>.
    """),
    "Team": _split(
        "Das Vertriebsteam|Der Gemeinderat|Die Buchhaltung|Unser Lieferant|"
        "Der Verein|Die Redaktion|Das Planungsbüro|Der Vorstand|Die Werkstatt"
    ),
    "team": _split(
        "das Vertriebsteam|der Gemeinderat|die Buchhaltung|unser Lieferant|"
        "der Verein|die Redaktion|das Planungsbüro|der Vorstand|die Schule"
    ),
    "verb": _split(
        "prüfen|verschieben|bestellen|besprechen|organisieren|übersetzen|"
        "messen|reparieren|vergleichen|streichen|testen|liefern|beschreiben|"
        "fotografieren|planen|bewerten|verkaufen|erneuern|kürzen"
    ),
    "ding": _split(
        "den Vertrag|die Broschüre|das Fahrrad|den Jahresbericht|"
        "das Gartenhaus|den Rundbrief|den Küchentisch|die Ausstellung|den Lieferplan|"
        "die Schulung|die Solaranlage|die Umfrage|die Kaffeemaschine|die Hochzeitstorte|den Reiseführer|den Mietvertrag|den Prototyp|"
        "den Katalog|den Spielplatz|das Kochbuch|das Klavier|das Dach"
    ),
    "grund": _split(
        "das Wetter hat sich geändert|die Nachfrage wächst|"
        "der Lieferant war zu spät|zwei Kollegen sind im Urlaub|die Preise sind gestiegen|"
        "das alte Gerät ist kaputt|die Kunden wünschen es|der Termin wurde verlegt|die Tests waren gut|der Hafen ist gesperrt"
    ),
    "adj": _split(
        "schlichter|moderner|ruhiger|teuer|farbenfroh|zuverlässig|förmlich|"
        "ungewöhnlich|knapper|großzügig|klar|praktisch|altmodisch|freundlich"
    ),
    "person": _split(
        "Schwester|Nachbarin|Chefin|Tante|Tochter|Kollegin|Lehrerin|Großmutter|Freundin|Mieterin|Cousine"
    ),
    "stadt": _split(
        "Bremen|Graz|Zürich|Leipzig|Linz|Basel|Kiel|Dresden|Freiburg|Innsbruck|Rostock|Bern|Erfurt|Ulm|Weimar"
    ),
    "monat": _split(
        "Januar|Februar|März|April|Mai|Juni|Juli|August|September|Oktober|November|Dezember"
    ),
    "ort": _split(
        "am Hafen|am alten Markt|am Dom|am Fluss|am Botanischen Garten|an der Burg|am Leuchtturm|am Museum|am See|am Bahnhof"
    ),
    "essen": _split(
        "Ziegenkäse|Milchreis|Zitronenkuchen|Linsensuppe|gegrillten Fisch|Oliven|frische Feigen|Roggenbrot|Pilzrisotto|Apfelstrudel"
    ),
    "symptom": _split(
        "Kopfschmerzen|Halsschmerzen|Rückenschmerzen|Schlafprobleme|trockenen Husten|juckende Augen|einen steifen Nacken"
    ),
    "pflege": _split(
        "mich ausruhen|zum Arzt gehen|mich dehnen|auf Kaffee verzichten|mehr Wasser trinken|täglich spazieren gehen"
    ),
}

ARABIC: Grammar = _NUMBERS | {
    "s": lines("""
        سيقوم <fariq> بـ<amal> <shay> قبل <day> <shahr> لأن <sabab>.
        انتهينا من <amal> <shay> في <madina> بحوالي <price> دينار.
        في <day> <shahr> <year> قرر <fariq> <amal> <shay>، كما أن <sabab>.
        تريد <qarib> <amal> <shay> لـ <n> أشخاص، هل لديك اقتراح؟
        أعاني من <alam> منذ <day> <shahr>، هل يجب أن <ilaj> أم أنتظر <n> أيام؟
        ارتفعت المبيعات في <madina> بنسبة <pct> بالمئة مع أن <sabab>.
        ينطلق القطار إلى <madina> على الساعة <hour> ويصل على الساعة <hour>.
        هل يمكنك إعادة كتابة هذه الفقرة بأسلوب <sifa> و<sifa>؟
        أقمنا في <madina> <n> ليال قرب <makan> بسعر <price> لليلة الواحدة.
        حسب التقرير يرى <pct> بالمئة من الزبائن أن <shay> <sifa>.
        أضف <n> بيضات و<n> غراما من الدقيق و<taam> ثم اترك الخليط <n> دقيقة.
        اجتماع الساعة <hour> حول <shay>، أحضر معك <n> شريحة.
        بعد <n> كيلومترا يمر الطريق قرب <makan> حيث يقدمون <taam>.
        تبلغ ميزانية السنة <big> دينار، منها <pct> بالمئة من أجل <shay>.
    """),
    "fariq": _split(
        "فريق المبيعات|المجلس البلدي|قسم المحاسبة|المورد|مكتب الدراسات|مجلس الإدارة|نادي القراءة|قسم التصميم|مكتب السياحة"
    ),
    "amal": _split(
        "مراجعة|إنهاء|تأجيل|طلب|مناقشة|تنظيم|ترجمة|قياس|إصلاح|مقارنة|تقديم|تبسيط|طلاء|تجربة|شحن|إلغاء|تلخيص|وصف|تصوير|تحضير"
    ),
    "shay": _split(
        "العقد|الكتيب|الدراجة|التقرير السنوي|بيت الحديقة|النشرة|طاولة المطبخ|المعرض|جدول التسليم|الدورة التدريبية|اللوح الشمسي|"
        "الاستبيان|آلة القهوة|كعكة الزفاف|دليل السفر|عقد الإيجار|النموذج|الفهرس|ملعب الأطفال|كتاب الطبخ|السقف"
    ),
    "sabab": _split(
        "الطقس تغير|الطلب يزداد|المورد تأخر|زميلين في عطلة|الأسعار ارتفعت من جديد|القديم تعطل|الزبائن طلبوا ذلك|الموعد تغير|"
        "التجارب كانت مشجعة|الميناء مغلق|الموسم يبدأ مبكرا|الميزانية اعتمدت"
    ),
    "sifa": _split(
        "بسيط|حديث|هادئ|غال|ملون|موثوق|رسمي|غريب|قصير|واضح|عملي|تقليدي|دافئ|مفصل"
    ),
    "qarib": _split("أختي|جارتي|مديرتي|خالتي|ابنتي|زميلتي|أستاذتي|جدتي|صديقتي"),
    "madina": _split(
        "الجزائر|وهران|قسنطينة|تونس|الرباط|القاهرة|عمان|بيروت|عنابة|تلمسان|فاس|مسقط|بجاية|غرداية"
    ),
    "shahr": _split(
        "جانفي|فيفري|مارس|أفريل|ماي|جوان|جويلية|أوت|سبتمبر|أكتوبر|نوفمبر|ديسمبر"
    ),
    "makan": _split(
        "الميناء|السوق القديم|الجامع الكبير|النهر|الحديقة|القلعة|المنارة|المتحف|البحيرة|محطة القطار|الجسر"
    ),
    "taam": _split(
        "جبن الماعز|الكسكسي|فطيرة الليمون|حساء العدس|السمك المشوي|الزيتون|التين الطازج|الأرز بالحليب|التمر"
    ),
    "alam": _split(
        "صداع خفيف|ألم في الحلق|ألم في الظهر|قلة النوم|سعال جاف|حكة في العين"
    ),
    "ilaj": _split("أرتاح|أزور الطبيب|أتجنب القهوة|أشرب ماء أكثر|أمشي كل يوم"),
}


def prose(rng: Random, grammar: Grammar) -> str:
    """Return paragraphs of 300 to about 2500 characters from one grammar."""
    target, text = rng.randint(320, 2300), ""
    while len(text) < target:
        sentence = expand(rng, grammar, rng.choice(grammar["s"]))
        text += (
            sentence[:1].upper() + sentence[1:] + rng.choice([" ", " ", " ", "\n\n"])
        )
    return text.strip()
