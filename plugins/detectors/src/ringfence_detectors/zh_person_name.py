"""Names of persons in Chinese text: a surname, one or two characters that given names are made of, and what is around.

No word segmentation: a surname and given-name characters are counted, and so is what stands before and behind, such as
a title, a verb of saying or the end of a clause. A name that was found is found again wherever the text repeats it.
"""

# ruff: noqa: SIM905  (a long list reads better in one string)

from __future__ import annotations

import re
from collections.abc import Iterator

from ringfence.privacy.detector import Hit
from ringfence_detectors.plain import PlainText
from ringfence_detectors.sharing import PlainDetector
from ringfence_detectors.zh_characters import (
    COMPOUND_SURNAMES,
    DOUBTFUL_SURNAMES,
    GIVEN,
    NO_NAMES,
    PERHAPS_GIVEN,
    SELDOM_GIVEN,
    SURNAMES,
    TRANSCRIBING,
)

_IDEOGRAPH = re.compile("[\u4e00-\u9fff]")
_ALL_SURNAMES = SURNAMES | DOUBTFUL_SURNAMES
_SINGLE = "".join(sorted(_ALL_SURNAMES))
_GIVEN_NAME = f"([{''.join(sorted(GIVEN | PERHAPS_GIVEN | SELDOM_GIVEN))}]{{1,2}})"
# Two patterns, each of which can be searched for by its first character.
_WITH_SINGLE_SURNAME = re.compile(f"([{_SINGLE}]){_GIVEN_NAME}")
_WITH_COMPOUND_SURNAME = re.compile(f"({'|'.join(COMPOUND_SURNAMES)}){_GIVEN_NAME}")
_MAY_BEGIN = re.compile(f"[{''.join(sorted({*_SINGLE, *(surname[0] for surname in COMPOUND_SURNAMES)}))}]")

_ROLES = frozenset(
    "记者 通讯员 编辑 医生 医师 大夫 护士 主任 主席 总统 总理 首相 部长 大臣 局长 处长 校长 院长 厂长 队长 "
    "会长 秘书长 理事长 董事长 总裁 总监 经理 书记 先生 女士 小姐 太太 同志 同学 老师 教授 博士 院士 律师 "
    "作家 诗人 画家 演员 导演 教练 选手 议长 将军 司令".split()
)
_PERSON_BEFORE = _ROLES | frozenset(
    "省长 市长 县长 患者 病人 收件人 联系人 姓名 名字 名叫 叫做 我叫 我是 妻子 丈夫 父亲 "
    "母亲 儿子 女儿 哥哥 弟弟 姐姐 妹妹 战士 农民 工人".split()
)
_MAY_STAND_BEFORE = frozenset(
    [
        *"作者 所长 科长 村长 乡长 镇长 班长 社长 馆长 站长 委员 代表 学者 专家 工程师".split(),
        *"法官 歌手 队员 球员 司机 职工 客户 员工 学生 教师 朋友 同事 邻居 用户".split(),
        *"叫姓是使让由被给请对向跟同和与及找问在为以把将从经据如像致因而但当到见于了的说岁年月日时后前中上里称",
    ]
)
# No 省长 or 市长: a place goes on after them, as in 吉林省长春.
_PERSON_AFTER = _ROLES | frozenset("主治 夫妇 夫妻 一家 等人 男， 女， 男, 女, 身份证 手机 电话 邮箱".split())
_MAY_STAND_AFTER = frozenset(
    "的是在为和与说去来则也就都已还被将从把向对给让同及或等今曾因以于由要想会能该负认表指告介报率当先作任主参出提强宣写获接带请问叫走看回到不没最这"
    "那又再才便即并而但所自正刚至有一二三四五六七八九十"
)
_SAYS_WHO = re.compile(r"[是为:：] ?\Z")
_ROLE_BEHIND = re.compile("先生|女士|小姐|太太|医生|大夫|老师|教授|经理|主任|主席|师傅|同学|律师|阿姨|叔叔")
_FAMILIAR = re.compile(f"(?<![\u4e00-\u9fff])[小老阿][{''.join(sorted(SURNAMES))}](?![\u4e00-\u9fff])")
_TRANSCRIBED = f"[{''.join(sorted(TRANSCRIBING))}]"
_DOT = re.compile("[·•・‧]")
_IN_PARTS = re.compile(f"{_TRANSCRIBED}{{1,8}}(?:[·•・‧]{_TRANSCRIBED}{{1,8}}){{1,4}}")
_IN_ONE_PART = re.compile(f"{_TRANSCRIBED}{{2,8}}")

# Tenths: a full sign on each side and two ordinary given-name characters are more than enough.
_SURNAME, _COMPOUND_SURNAME = 12, 30
_GIVEN, _PERHAPS_GIVEN, _SELDOM_GIVEN = 15, 9, 2
_PERSON_SIGN, _EDGE_SIGN, _WEAK_SIGN_BEFORE, _WEAK_SIGN_AFTER, _NO_SIGN = 16, 10, 8, 7, -4
_ENOUGH_FOR_TWO, _ENOUGH_FOR_ONE = 30, 39
_ONE_CHARACTER_PERCENT = 80
_SHORTEST_REPEATED = 3
_REPEATED_LENGTHS = (4, 3)


class ZhPersonNameDetector(PlainDetector):
    """Finds names in Chinese: of Chinese form, transcribed ones with a dot or a title, a surname with a title."""

    def detect_prepared(self, plain: PlainText, /) -> Iterator[Hit]:
        """Every name, in order of start; no two overlap."""
        if not _IDEOGRAPH.search(plain.text):
            return
        done = 0
        for start, end in sorted(_spans(plain.text), key=lambda span: (span[0], -span[1])):
            if start >= done:
                done = end
                yield plain.hit(start, end)


def _spans(text: str) -> Iterator[tuple[int, int]]:
    names = [*_chinese_names(text, _WITH_COMPOUND_SURNAME), *_chinese_names(text, _WITH_SINGLE_SURNAME)]
    yield from names
    yield from _again(text, {text[start:end] for start, end in names if end - start >= _SHORTEST_REPEATED})
    yield from (match.span() for match in _FAMILIAR.finditer(text))
    for role in _ROLE_BEHIND.finditer(text):
        if text[max(0, role.start() - 1) : role.start()] in _ALL_SURNAMES:
            yield role.start() - 1, role.end()
    if _DOT.search(text):
        yield from (match.span() for match in _IN_PARTS.finditer(text))
    for match in _IN_ONE_PART.finditer(text):
        alike = text[match.start() : match.start() + 2] in NO_NAMES
        if not alike and _PERSON_SIGN in (_sign_before(text, match.start()), _sign_after(text, match.end())):
            yield match.span()


def _again(text: str, names: set[str]) -> Iterator[tuple[int, int]]:
    """Where `names` stand; looked up, so that the time does not grow with their number."""
    for match in _MAY_BEGIN.finditer(text) if names else ():
        start = match.start()
        yield from ((start, start + length) for length in _REPEATED_LENGTHS if text[start : start + length] in names)


def _chinese_names(text: str, pattern: re.Pattern[str]) -> Iterator[tuple[int, int]]:
    match = pattern.search(text)
    while match is not None:
        end = _end_of_name(match)
        if end:
            yield match.start(), end
        match = pattern.search(text, end or match.start() + 1)


def _end_of_name(match: re.Match[str]) -> int:
    """Where the name ends that begins with the match; 0 if it is none."""
    text, given = match.string, match.start(2)
    surname = _COMPOUND_SURNAME if given - match.start() > 1 else _SURNAME if match[1] in SURNAMES else 0
    most = surname + sum(map(_given, match[2])) + 2 * _PERSON_SIGN
    if most <= _ENOUGH_FOR_TWO:
        return 0
    before = _sign_before(text, match.start())
    alike = text[match.start() : match.start() + 2] in NO_NAMES
    best, best_end = 0, 0
    for end in range(match.end(), given, -1):
        after = _sign_after(text, end)
        if alike and _PERSON_SIGN not in (before, after):
            continue
        characters = sum(map(_given, text[given:end]))
        two = end - given > 1
        score = surname + before + after + (characters if two else characters * _ONE_CHARACTER_PERCENT // 100)
        surplus = score - (_ENOUGH_FOR_TWO if two else _ENOUGH_FOR_ONE)
        if surplus > best:
            best, best_end = surplus, end
    return best_end


def _given(character: str) -> int:
    if character in GIVEN:
        return _GIVEN
    return _PERHAPS_GIVEN if character in PERHAPS_GIVEN else _SELDOM_GIVEN


def _sign_before(text: str, start: int) -> int:
    said = _SAYS_WHO.search(text, max(0, start - 2), start)
    end = said.start() if said else start
    if text[max(0, end - 2) : end] in _PERSON_BEFORE or text[max(0, end - 3) : end] in _PERSON_BEFORE:
        return _PERSON_SIGN
    if not start or not _IDEOGRAPH.match(text, start - 1):
        return _EDGE_SIGN
    if any(text[max(0, start - length) : start] in _MAY_STAND_BEFORE for length in (1, 2, 3)):
        return _WEAK_SIGN_BEFORE
    return _NO_SIGN


def _sign_after(text: str, end: int) -> int:
    if text[end : end + 2] in _PERSON_AFTER or text[end : end + 3] in _PERSON_AFTER:
        return _PERSON_SIGN
    if not _IDEOGRAPH.match(text, end):
        return _EDGE_SIGN
    return _WEAK_SIGN_AFTER if text[end] in _MAY_STAND_AFTER else _NO_SIGN


DETECTOR = ZhPersonNameDetector()

__all__ = ["DETECTOR", "ZhPersonNameDetector"]
