"""A budget of money needs a known price: what a provider's plugin says of it, asked under the plugin lock."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ringfence.errors import PolicyInvalid
from ringfence.policy import Policy, prices, read_policy
from ringfence.policy.prices import GROUP, missing_price, price_of
from ringfence.recipient import Recipient, Ring
from ringfence.response import Usage

SAMPLE = Usage(input_tokens=1_000, output_tokens=1_000)
CODE = """
import pathlib
pathlib.Path(__file__).with_name("imported").touch()
def price_usd(recipient, usage):
    return {answer}
"""

Install = Callable[..., Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Puts a plugin for the provider `shop` on the import path, which answers `answer` for a price."""

    def put(answer: str = "0.5", *, offers_prices: bool = True, name: str = "one") -> Path:
        package = tmp_path / name / f"fake_{name}"
        info = tmp_path / name / f"{name}-1.0.dist-info"
        package.mkdir(parents=True)
        info.mkdir()
        (package / "__init__.py").write_text(CODE.format(answer=answer))
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        price = f"[{GROUP}]\nshop = fake_{name}:price_usd\n" if offers_prices else ""
        (info / "entry_points.txt").write_text(f"[ringfence.providers]\nshop = fake_{name}:P\n{price}")
        monkeypatch.syspath_prepend(str(tmp_path / name))  # pyright: ignore[reportUnknownMemberType]
        return package

    monkeypatch.delenv("RINGFENCE_LOCK", raising=False)
    monkeypatch.setenv("RINGFENCE_CONFIG_DIR", str(tmp_path / "config"))
    prices.refresh()
    yield put
    prices.refresh()
    for module in [name for name in sys.modules if name.startswith("fake_")]:
        del sys.modules[module]


def shop(ring: Ring = "partner") -> Recipient:
    return Recipient(name="x", ring=ring, provider="shop", model="large")


def policy(of: str = "partner", keys: str = "", limit: str = "5 USD") -> Policy:
    return read_policy(f"""version: 1
recipients:
  mlx: {{ring: device, provider: mlx, model: m}}
  x: {{ring: partner, provider: shop, model: large{keys}}}
labels: {{work: {{}}, unclassified: {{}}}}
unknown: unclassified
flow: [{{id: any, allow: {{labels: "*", to: [device]}}}}]
route: [{{id: all, prefer: [mlx, x]}}]
budgets: [{{id: month, of: {of}, limit: {limit}, per: month}}]
name: shop
""")


FAULT = (
    "budget 'month' is in USD, and no price is known for recipient 'x' (model large). "
    "Count tokens or requests, or take it out of of:."
)


def faults(of: str = "partner", keys: str = "") -> list[str]:
    with pytest.raises(PolicyInvalid) as caught:
        policy(of, keys)
    return [fault.split(": ", 1)[1] for fault in caught.value.faults]


def test_a_price_is_what_the_plugin_says(install: Install) -> None:
    install("usage.input_tokens / 1000 * 0.5")
    assert price_of(shop(), SAMPLE) == 0.5
    assert price_of(shop(), Usage(input_tokens=4_000)) == 2.0
    assert policy().document.budgets


def test_the_device_costs_nothing_and_the_price_of_the_house_is_not_known(install: Install) -> None:
    package = install()
    assert price_of(shop("device"), SAMPLE) == 0
    assert price_of(shop("house"), SAMPLE) is None
    assert not (package / "imported").exists()


NO_PRICE = {
    "None": "",
    "True": ": price_usd of one gave a bool, which is no price",
    "'canary'": ": price_usd of one gave a str, which is no price",
    "-1": ": price_usd of one gave a number that is no price",
    "float('nan')": ": price_usd of one gave a number that is no price",
    "float('inf')": ": price_usd of one gave a number that is no price",
    "10 ** 400": ": price_usd of one raised OverflowError",
    "1 / 0": ": price_usd of one raised ZeroDivisionError",
    "{}['canary']": ": price_usd of one raised KeyError",
    "exit(1)": ": price_usd of one raised SystemExit",
}


@pytest.mark.parametrize(("answer", "why"), NO_PRICE.items(), ids=NO_PRICE)
def test_whatever_a_plugin_answers_but_a_price_is_none_and_a_fault_that_says_why(
    install: Install, answer: str, why: str
) -> None:
    install(answer)
    assert price_of(shop(), SAMPLE) is None
    assert faults() == faults("x") == [FAULT.replace("(model large)", f"(model large){why}")]
    assert "canary" not in str(faults())


def test_a_price_function_that_cannot_be_imported_is_a_fault_that_says_so(install: Install) -> None:
    package = install()
    (package / "__init__.py").write_text("raise KeyError('canary')\n")
    why = "(model large): the prices of provider 'shop' cannot be loaded: KeyError"
    assert faults() == [FAULT.replace("(model large)", why)]


def test_prices_that_were_missing_are_found_when_a_policy_is_loaded_after_their_plugin_came(install: Install) -> None:
    install(offers_prices=False)
    assert faults() == [FAULT]
    install("0.5", name="two")
    assert policy().document.budgets
    assert price_of(shop(), SAMPLE) == 0.5


def test_a_provider_that_is_not_installed_is_no_fault(install: Install) -> None:
    assert install is not None
    assert price_of(shop(), SAMPLE) is None
    assert policy().document.budgets


def test_a_provider_that_offers_no_prices_is_a_fault(install: Install) -> None:
    install(offers_prices=False)
    assert faults() == [FAULT]


def test_where_two_plugins_answer_no_price_is_known(install: Install) -> None:
    install()
    install("0.1", name="two")
    assert price_of(shop(), SAMPLE) is None
    assert faults() == [FAULT]


def test_a_fault_says_that_a_list_price_does_not_hold_at_a_url(install: Install) -> None:
    install("None if recipient.url else 0.5")
    holds = "the list price of large does not hold at the url: that this file gives recipient 'x'"
    says = f"budget 'month' is in USD, and {holds}. Count requests or tokens, or remove url:."
    assert faults(keys=', url: "https://a.example"') == [says]


def test_a_model_without_a_list_price_is_not_said_to_have_one(install: Install) -> None:
    install("None")
    assert faults(keys=', url: "https://a.example"') == [FAULT]


def test_tokens_and_requests_ask_no_plugin(install: Install) -> None:
    package = install("None")
    assert policy(limit="5 tokens").document.budgets
    assert policy(limit="5 requests").document.budgets
    assert not (package / "imported").exists()


def test_nothing_of_a_plugin_that_the_lock_does_not_approve_is_imported(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = install()
    lock = tmp_path / "plugins.lock.toml"
    lock.write_text("version = 1\n")
    monkeypatch.setenv("RINGFENCE_LOCK", str(lock))
    assert price_of(shop(), SAMPLE) is None
    assert missing_price(shop()) is None  # it cannot be used at all here, like one that is not installed
    assert policy().document.budgets
    assert not (package / "imported").exists()


OURS = {"openai": "gpt-5.2", "gemini": "gemini-3-flash"}


@pytest.mark.parametrize(("provider", "model"), OURS.items(), ids=OURS)
def test_the_providers_that_ship_know_the_prices_of_the_vendors_own_addresses(provider: str, model: str) -> None:
    recipient = Recipient(name="x", ring="partner", provider=provider, model=model)
    price = price_of(recipient, SAMPLE)
    assert price is not None
    assert 0 < price < 1
    elsewhere = Recipient(name="x", ring="partner", provider=provider, model=model, url="https://a.example")
    assert price_of(elsewhere, SAMPLE) is None
    assert price_of(Recipient(name="x", ring="partner", provider=provider, model="no such model"), SAMPLE) is None


def test_asking_for_a_price_imports_no_vendor(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from ringfence.policy.prices import price_of\n"
        "from ringfence.recipient import Recipient\n"
        "from ringfence.response import Usage\n"
        "for provider, model in (('openai', 'gpt-5.2'), ('gemini', 'gemini-3-flash')):\n"
        "    recipient = Recipient(name='x', ring='partner', provider=provider, model=model)\n"
        "    assert price_of(recipient, Usage(input_tokens=1, output_tokens=1))\n"
        "assert not {'openai', 'google.genai', 'aiohttp', 'ringfence_openai.provider'} & set(sys.modules)\n"
    )
    env = {"RINGFENCE_CONFIG_DIR": str(tmp_path), "PATH": ""}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
