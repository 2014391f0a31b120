"""Simple honest sentences about a name in many languages, with what these attach to it.

Each language has four: the name as subject, after `and`, in `a photo of`, and in `beside`. A field
is the name itself (`{n}`), or one of its cases, given as pairs of an ending and what replaces it.
"""

# ruff: noqa: RUF001

from __future__ import annotations

from repic.captions.mentions import read_caption

Case = tuple[tuple[str, str], ...]
VOWELS = tuple("aeiouhàâéèêëîïôùûœ")

PLAIN = ("{n} sits here.", "A dog and {n} sit here.", "A photo of {n}.", "A dog beside {n}.")

SENTENCES: dict[str, tuple[str, ...]] = {
    "ar": ("{n} يجلس هنا.", "كلب و{n} يجلسان هنا.", "صورة {n}.", "كلب بجانب {n}."),
    "az": ("{n} burada oturur.", "İt və {n} buradadır.", "{n}ın şəkli.", "{n}ın yanında it."),
    "bg": ("{n} седи тук.", "Куче и {n} са тук.", "Снимка на {n}.", "Куче до {n}."),
    "bn": ("{n} এখানে বসে।", "একটি কুকুর ও {n}।", "{n}ের ছবি।", "{n}ের পাশে কুকুর।"),
    "cs": ("{n} sedí tady.", "Pes a {n} jsou tady.", "Fotka {gen}.", "Pes vedle {gen}."),
    "da": ("{n} sidder her.", "En hund og {n} er her.", "Et foto af {n}.", "En hund ved {n}."),
    "de": ("{n} sitzt hier.", "Ein Hund und {n}.", "Ein Foto von {n}.", "Ein Hund neben {n}."),
    "el": ("Ο {n} κάθεται εδώ.", "Σκύλος και {n}.", "Φωτογραφία του {gen}.", "Δίπλα στον {gen}."),
    "es": ("{n} está aquí.", "Un perro y {n}.", "Una foto de {n}.", "Un perro junto a {n}."),
    "et": ("{n} istub siin.", "Koer ja {n}.", "{n}i foto.", "Koer {n}i kõrval."),
    "fa": ("{n} اینجا نشسته است.", "سگ و {n}.", "عکس {n}.", "سگی کنار {n}."),
    "fi": ("{n} istuu tässä.", "Koira ja {n}.", "Kuva {n}sta.", "Koira {n}n vieressä."),
    "fr": ("{n} est ici.", "Un chien et {n}.", "Une photo {de}.", "Un chien près {de}."),
    "ga": ("Tá {n} anseo.", "Madra agus {n}.", "Grianghraf de {lenited}.", "Madra in aice le {n}."),
    "gu": ("{n} અહીં છે.", "કૂતરો અને {n}.", "{n}નો ફોટો.", "{n}ની બાજુમાં કૂતરો."),
    "he": ("{n} יושב כאן.", "כלב ו{n} כאן.", "תמונה של {n}.", "כלב ליד {n}."),
    "hi": ("{n} यहाँ है।", "कुत्ता और {n}।", "{n} की तस्वीर।", "{n} के पास कुत्ता।"),
    "hr": ("{n} sjedi ovdje.", "Pas i {n}.", "Fotografija {gen}.", "Pas pored {gen}."),
    "hu": ("{n} itt ül.", "Egy kutya és {n}.", "Kép {n}ról.", "Kutya {n} mellett."),
    "hy": ("{n}ը նստած է։", "Շունը և {n}ը։", "{n}ի լուսանկարը։", "Շուն {n}ի կողքին։"),
    "is": ("{n} situr hér.", "Hundur og {n}.", "Mynd af {gen}.", "Hundur hjá {gen}."),
    "it": ("{n} è qui.", "Un cane e {n}.", "Una foto di {n}.", "Un cane accanto a {n}."),
    "ja": ("{n}が座っている。", "犬と{n}がいる。", "{n}の写真。", "{n}の隣に犬がいる。"),
    "ka": ("{n} ზის.", "ძაღლი და {n}.", "{n}ს ფოტო.", "ძაღლი {n}სთან."),
    "ko": ("{n}이 앉아 있다.", "개와 {n}가 있다.", "{n}의 사진.", "{n} 옆에 개가 있다."),
    "lt": ("{n} sėdi čia.", "Šuo ir {n}.", "{gen} nuotrauka.", "Šuo šalia {gen}."),
    "lv": ("{n} sēž šeit.", "Suns un {n}.", "{gen} fotogrāfija.", "Suns blakus {gen}."),
    "mk": ("{n} седи тука.", "Куче и {n}.", "Слика од {n}.", "Куче до {n}."),
    "ne": ("{n} यहाँ छ।", "कुकुर र {n}।", "{n}को तस्बिर।", "{n}सँग कुकुर।"),
    "nl": ("{n} zit hier.", "Een hond en {n}.", "Een foto van {n}.", "Een hond naast {n}."),
    "no": ("{n} sitter her.", "En hund og {n}.", "Et bilde av {n}.", "En hund ved {n}."),
    "or": ("{n} ଏଠାରେ।", "କୁକୁର ଓ {n}।", "{n}ର ଫଟୋ।", "{n}ର ପାଖରେ କୁକୁର।"),
    "pl": ("{n} siedzi tutaj.", "Pies i {n}.", "Zdjęcie {gen}.", "Pies obok {gen}."),
    "pt": ("{n} está aqui.", "Um cão e {n}.", "Uma foto de {n}.", "Um cão junto a {n}."),
    "ro": ("{n} stă aici.", "Un câine și {n}.", "O fotografie cu {n}.", "Un câine lângă {n}."),
    "ru": ("{n} сидит здесь.", "Собака и {n}.", "Фотография {gen}.", "Собака около {gen}."),
    "si": ("{n} මෙහි සිටී.", "බල්ලා සහ {n}.", "{n}ගේ ඡායාරූපය.", "{n}ගේ අසල බල්ලා."),
    "sk": ("{n} sedí tu.", "Pes a {n}.", "Fotka {gen}.", "Pes vedľa {gen}."),
    "sl": ("{n} sedi tukaj.", "Pes in {n}.", "Fotografija {gen}.", "Pes poleg {gen}."),
    "sv": ("{n} sitter här.", "En hund och {n}.", "Ett foto av {n}.", "En hund bredvid {n}."),
    "ta": ("{n} இங்கே.", "நாயும் {n}உம்.", "{n}இன் படம்.", "{n}க்கு அருகில் நாய்."),
    "th": ("{n}นั่งอยู่ที่นี่", "สุนัขและ{n}", "รูปถ่ายของ{n}", "สุนัขอยู่ข้าง{n}"),
    "tr": ("{n} burada.", "Köpek ve {n}.", "{n}'in fotoğrafı.", "{n}'in yanında köpek."),
    "uk": ("{n} сидить тут.", "Собака і {n}.", "Фото {gen}.", "Собака біля {gen}."),
    "uz": ("{n} shu yerda.", "It va {n}.", "{n}ning surati.", "{n}ning yonida it."),
    "zh": ("{n}坐在这里。", "一只狗和{n}。", "{n}的照片。", "{n}旁边有一只狗。"),
    "zu": ("U{n} uhleli lapha.", "Inja no{n}.", "Isithombe sika{n}.", "Inja eduze kuka{n}."),
}
CASES: dict[str, Case] = {
    "cs": (("a", "y"), ("e", "e"), ("", "a")),
    "el": (("ς", ""), ("α", "ας"), ("η", "ης"), ("", "")),
    "hr": (("a", "e"), ("o", "a"), ("", "a")),
    "is": (("a", "u"), ("i", "a"), ("ur", "i"), ("", "i")),
    "lt": (("as", "o"), ("is", "io"), ("ys", "io"), ("a", "os"), ("ė", "ės"), ("", "o")),
    "lv": (("is", "a"), ("s", "a"), ("a", "as"), ("e", "es"), ("", "a")),
    "pl": (("a", "y"), ("", "a")),
    "ru": (("а", "ы"), ("я", "и"), ("й", "я"), ("ь", "я"), ("", "а")),
    "sk": (("a", "y"), ("", "a")),
    "sl": (("a", "e"), ("o", "a"), ("", "a")),
    "uk": (("а", "и"), ("я", "ї"), ("й", "я"), ("о", "а"), ("", "а")),
}  # fmt: skip


def shares_read(locale: str, names: tuple[str, ...]) -> list[float]:
    """Share of these names that is read in each of the four sentences of the locale's language."""
    language = locale.partition("_")[0]
    return [
        sum(
            read_caption(_filled(sentence, language, name), [name]).named == (name,)
            for name in names
        )
        / len(names)
        for sentence in SENTENCES.get(language, PLAIN)
    ]


def _filled(sentence: str, language: str, name: str) -> str:
    case = name
    for ending, other in CASES.get(language, ()):
        if name.endswith(ending):
            case = name[: len(name) - len(ending)] + other
            break
    lenited = f"{name[0]}h{name[1:]}" if name[0] in "BCDFGMPST" else name
    de = f"d'{name}" if name.lower().startswith(VOWELS) else f"de {name}"
    return sentence.format(n=name, gen=case, lenited=lenited, de=de)
