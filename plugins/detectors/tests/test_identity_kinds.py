"""What each kind beyond the first four finds, and that no other kind takes it for its own."""

from __future__ import annotations

import re
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from ringfence.privacy.detection import ENTRY_POINT_GROUP, DetectorSet
from ringfence.privacy.detector import Hit

OURS = [point for point in entry_points(group=ENTRY_POINT_GROUP) if point.module.startswith("ringfence_detectors.")]
KINDS = sorted(point.name for point in OURS)
DETECTORS = DetectorSet()

# (kind, text before, what must be found, text after)
FOUND = [
    ("us_ssn", "", "219-09-9999", " is hers"),
    ("us_ssn", "SSN: ", "219099999", ""),
    ("us_ssn", '{"ssn": "', "219099999", '"}'),
    ("us_ssn", "social security number ", "219 09 9999", "."),
    ("us_ssn", "", "219‑09‑9999", ""),
    ("us_ssn", "社会安全号是", "２１９０９９９９９", "。"),
    ("us_itin", "ITIN ", "912-70-1234", ""),
    ("us_ein", "Employer identification number ", "12-3456789", ""),
    ("ca_sin", "my SIN is ", "130 692 544", ""),
    ("ca_sin", "", "130-692-544", ""),
    ("br_cpf", "", "529.982.247-25", ""),
    ("br_cpf", "", "529.982.247-24", " (mistyped)"),
    ("br_cpf", "CPF ", "52998224725", ""),
    ("uk_nino", "", "AB 12 34 56 C", ""),
    ("uk_nino", "her NI number: ", "ab123456c", ""),
    ("uk_nhs", "NHS no. ", "9434765919", ""),
    ("de_tax_id", "", "86 095 742 719", ""),
    ("de_tax_id", "Steuer-ID: ", "86095742719", ""),
    ("fr_nir", "", "2 95 10 99 126 111 93", ""),
    ("fr_nir", "Sécurité sociale ", "295109912611193", ""),
    ("es_dni", "DNI ", "54362315K", ""),
    ("es_dni", "", "54362315-K", ""),
    ("es_dni", "NIE ", "X2482300W", ""),
    ("it_codice_fiscale", "", "RCCMNL83S18D969H", ""),
    ("it_codice_fiscale", "codice fiscale ", "rccmnl83s18d969h", ""),
    ("nl_bsn", "BSN ", "1112.22.333", ""),
    ("nl_bsn", "burgerservicenummer: ", "111222333", ""),
    ("pl_pesel", "PESEL ", "44051401359", ""),
    ("ch_ahv", "", "756.9217.0769.85", ""),
    ("vat_id", "", "DE136695976", ""),
    ("vat_id", "USt-IdNr. ", "DE 136 695 976", ""),
    ("cn_resident_id", "", "11010519491231002X", ""),
    ("cn_resident_id", "", "11010519491231002x", ""),
    ("cn_resident_id", "身份证号", "110105 19491231 0021", "。"),
    ("cn_resident_id", "", "110105194912310021", " (mistyped)"),
    ("cn_resident_id", "身份证", "1101051949\n1231002X", ""),
    ("cn_resident_id", "身份证：", "110105491231002", ""),
    ("hk_id", "", "A123456(3)", ""),
    ("hk_id", "香港身份證", "A1234563", ""),
    ("tw_id", "", "A123456789", ""),
    ("tw_id", "居留證 ", "AC01234567", ""),
    ("sg_nric", "", "S1234567D", ""),
    ("jp_my_number", "マイナンバー：", "6214 9832 0257", ""),
    ("kr_rrn", "", "971013-9019902", ""),
    ("in_aadhaar", "", "2341 2341 2346", ""),
    ("in_aadhaar", "Aadhaar ", "234123412345", " (mistyped)"),
    ("in_pan", "", "ACUPA7085R", ""),
    ("au_tfn", "TFN ", "123 456 782", ""),
    ("passport", "passport no. ", "C01X00T47", ""),
    ("passport", "护照号码：", "E12345678", "。"),
    ("passport", "Reisepassnummer ", "L01X00T44", ""),
    (
        "passport",
        "",
        "P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<\nL898902C36UTO7408122F1204159ZE184226B<<<<<10",
        "\n",
    ),
    ("date_of_birth", "born on ", "4 May 1990", "."),
    ("date_of_birth", "DOB: ", "05/04/1990", ""),
    ("date_of_birth", "geboren am ", "4.5.1990", ""),
    ("date_of_birth", "出生日期：", "1990年5月4日", "，"),
    ("ip_address", "from ", "192.168.1.7", ":8080"),
    ("ip_address", "", "fe80::1ff:fe23:4567:890a", "%eth0"),
    ("ip_address", "", "2001:db8:0:0:0:0:2:1", ""),
    ("mac_address", "", "00:1A:2B:3C:4D:5E", ""),
    ("mac_address", "", "001a.2b3c.4d5e", ""),
    ("bic", "BIC: ", "DEUTDEFF500", ""),
    ("crypto_address", "", "1BoatSLRHtKNngkdXEeobR76b53LETtpyT", ""),
    ("crypto_address", "", "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq", ""),
    ("crypto_address", "", "0x52908400098527886E0F7030069857D2E4169EE7", ""),
    ("vin", "", "1HGCM82633A004352", ""),
    ("vin", "Fahrgestellnummer ", "WVWZZZ1JZ3W386752", ""),
    ("phone", "Desk: ", "259.735.7502x459", ""),
    ("phone", "", "(41) 98386-7449", ""),
    ("phone", "电话", "010-62345678", "。"),
    ("phone", "手机", "138123\n45678", "。"),
    ("credit_card", "my card ", "675984103431", " please"),
    ("secret", "", "AKIAIOSFODNN7EXAMPLE", ""),
    ("secret", "", "ghp_16C7e42F292c6912E7710c838347Ae178B4a", ""),
    ("secret", "", "github_pat_11ABCDEFG0abcdefghijkl_mnopqrstuvwxyz", ""),
    ("secret", "", "glpat-abcDEF123456ghiJKL78", "."),
    ("secret", "", "xoxb-123456789012-abcdefABCDEF", ""),
    ("secret", "", "sk_live_4eC39HqLyjWDarjtT1zdp7dc", ""),
    ("secret", "密钥", "sk-proj-abcDEF1234567890abcdEFGH", "。"),
    ("secret", "", "sk-ant-api03-abcDEF1234567890abcdEFGH", ""),
    ("secret", "", "AIzaSyA1234567890abcdefghijklmnopqrstuv", ""),
    ("secret", "", "hf_abcdefghijklmnopqrstuvwxyzABCD12", ""),
    ("secret", "", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N", ""),
    ("secret", "", "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\n-----END RSA PRIVATE KEY-----", "\n"),
    ("secret", "", "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk", ""),
    ("secret", "postgres://", "bob:p@ss", "@db/x"),
    ("secret", "redis://:", "hunter2", "@cache/0"),
    ("secret", "https://hooks.slack.com/services/", "T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX", ""),
    ("secret", "AccountKey=", "abcDEF1234567890abcdEFGH+/==", ";"),
    ("secret", "Authorization: Bearer ", "abcDEF1234567890abcdEFGH", ""),
    ("secret", "Authorization: Basic ", "YWxhZGRpbjpvcGVuc2VzYW1lMQ==", ""),
    ("secret", "password: ", "hunter2", ""),
    ("secret", "password: ", "sunshine", "\n"),
    ("secret", "Password = '", "correct horse battery staple", "'"),
    ("secret", "my password is ", "Tr0ub4dor&3", "."),
    ("secret", "密码是", "abc12345", "。"),
    ("secret", "api_key=", "9f86d081884c7d659a2feaa0", ""),
    ("secret", '"client_secret": "', "9f86d081884c7d659a2feaa0", '"'),
    ("zh_person_name", "请联系", "王小明", "。"),
    ("zh_person_name", "", "欧阳娜娜", "说"),
    ("zh_person_name", "主治医生", "张华", "为其开具"),
    ("zh_person_name", "", "王女士", "您好"),
    ("zh_person_name", "", "小林", ",你好"),
    ("zh_person_name", "市长", "理查德·赖尔", "说"),
]

NOT_FOUND = [
    "How tall is Mount Fuji?",
    "on 2024-11-22 at 12:30, from 10:30:45 to 11:15:00",
    "the population was 1 234 567 in 1999 and 123 456 789 in 2020",
    "order 123456789, invoice 12-3456789, ticket 12345678901",
    "ISBN 978-3-16-148410-0",
    "version 10.15.7.1 and v1.2.3.4, 127.0.0.1, ::1 and 0.0.0.0",
    "std::vector<int> a::b Foo::Bar10 values[1::2] values[::10]",
    "between -3.402823e+38 and 9.007199e+15 inclusive",
    "uuid 550e8400-e29b-41d4-a716-446655440000",
    "sha 4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945",
    "Passwords are hashed; the password is required, a secret is a secret.",
    "password: required, token: string, api_key=YOUR_API_KEY, secret=${SECRET}, password=<password>",
    "the token is a word of the text, and max_tokens: 4096",
    "task-force risk-averse desk-bound sk-learn disk-usage-of-the-whole-system",
    "https://example.com:8080/path?x=1@y",
    "the passport office is open, bring 12 photos",
    "He was born in a small town.",
    "a BICYCLE and SWIFTLY RUNNING FASTER",
    "公司成立于2024年，文明和平安，高速公路方便，金融水平提高。",
    "明天天气多云，江苏和安徽有小雨。",
    "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20",
    "1.1 2.2 3.3 4.4 5.5 6.6 7.7 8.8 9.9",
    "",
]


def _found(text: str) -> dict[str, tuple[Hit, ...]]:
    scan = DETECTORS.scan(KINDS, text)
    assert not scan.failed
    return dict(scan.hits)


@pytest.mark.parametrize(("kind", "before", "written", "after"), FOUND)
def test_an_identifier_is_found_where_it_stands_and_taken_for_nothing_else(
    kind: str, before: str, written: str, after: str
) -> None:
    assert _found(before + written + after) == {kind: (Hit(len(before), len(before) + len(written)),)}


@pytest.mark.parametrize("text", NOT_FOUND)
def test_everyday_text_holds_none(text: str) -> None:
    assert _found(text) == {}


def test_the_example_of_a_policy_is_a_card_and_nothing_else() -> None:
    assert set(_found("Is 4111 1111 1111 1111 a valid card?")) == {"credit_card"}


def test_every_kind_of_the_table_is_installed_and_every_installed_one_is_tried() -> None:
    assert {kind for kind, *_ in FOUND} | {"email", "iban"} == set(KINDS)


def test_the_readme_lists_every_kind() -> None:
    readme = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    table = readme.partition("## Kinds")[2].partition("## Figures")[0]
    assert sorted(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == KINDS
