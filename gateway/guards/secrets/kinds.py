"""The table of credentials: the prefixes and lengths that their issuers publish.

The list follows gitleaks (config/gitleaks.toml), detect-secrets and GitHub's supported secret scanning patterns. A prefix with its
length proves itself; what has none (passwords, keys in assignments) is judged by name and entropy, see
:mod:`gateway.guards.secrets.values`.
"""

from gateway.core.keys import well_formed
from gateway.guards.forms import NOTHING, Form, either
from gateway.guards.secrets.values import (
    has_key,
    is_assigned_secret,
    is_jwt,
    is_password,
    is_random,
    is_real,
    is_url_password,
)

_ID = "[A-Za-z0-9_-]"
_NAMED = either(
    "api[_-]?key|secret[_-]?key|access[_-]?key|private[_-]?key|account[_-]?key|encryption[_-]?key|client[_-]?secret|secret|token"
    "|credentials?|auth"
)
_PASSWORDS = either("passwords?|passwd|passphrase|passwort|pwd|contraseña|mot de passe")
_ASSIGNED = r"""["'`]?(?i: is)?\s{0,3}(?::=|=>|==?|:)?\s{0,3}["'`]?"""
_EQUALS = r"""["'`]?\s{0,3}(?::=|=>|==?|:)\s{0,3}["'`]?"""
_VALUE = r"""[^\s"'`,;<>(){}\[\]=]{8,200}={0,2}"""
_BLANKS = r"[A-Za-z0-9+/=\s\\:,.()-]"
_BEGIN = "-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
_END = "-----END (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
_KEY = r"[A-Za-z0-9+/=\s\\]"


def _token(what: str, pattern: str) -> Form:
    """A form that a prefix and a length make sure of; only placeholders are left out."""
    return Form(what, pattern, is_real, left=r"\w", right=r"\w")


FORMS: tuple[Form, ...] = (
    # gateway/core/keys.py
    Form("promptgate", "pg_[0-9A-Za-z]{12}_[0-9A-Za-z]{33}_[0-9A-Za-z]{6}", well_formed, left=r"\w", right=r"\w"),
    _token("aws", "(?:AKIA|ASIA|ABIA|ACCA|A3T[A-Z0-9])[A-Z2-7]{16}"),
    Form(
        "aws",
        "[A-Za-z0-9/+]{40}",
        is_random,
        after=rf"(?i:aws|secret).{{0,20}}?(?i:key){_EQUALS}",
        left=r"[\w+/]",
        right=r"[\w+/=]",
    ),
    _token("gcp", f"AIza{_ID}{{35}}"),
    _token("gcp", f"GOCSPX-{_ID}{{28}}"),
    _token("gcp", rf"ya29\.{_ID}{{20,500}}"),
    _token("azure", r"[A-Za-z0-9_~.]{3}[0-9]Q~[A-Za-z0-9_~.-]{31,34}"),
    Form("azure", "[A-Za-z0-9+/]{86}==", is_real, after="(?i:AccountKey|SharedAccessKey)=", left=r"[\w+/]", right=r"[\w=]"),
    _token("github", "gh[pousr]_[A-Za-z0-9]{36,251}"),
    _token("github", "github_pat_[A-Za-z0-9_]{82}"),
    _token("gitlab", f"gl(?:pat|ptt|rt|dt|ft|soat|agent|cbt|imt|oas|ffct)-{_ID}{{20,64}}"),
    _token("slack", "xox[abeoprs]-[A-Za-z0-9-]{10,200}"),
    _token("slack", "xapp-[0-9]-[A-Z0-9]{9,12}-[0-9]{10,14}-[a-f0-9]{64}"),
    _token("slack", "hooks[.]slack[.]com/(?:services|workflows)/[A-Za-z0-9+/]{40,60}"),
    _token("stripe", "(?:sk|rk)_(?:live|test|prod)_[A-Za-z0-9]{10,247}"),
    _token("stripe", "whsec_[A-Za-z0-9+/]{32,64}"),
    _token("anthropic", f"sk-ant-(?:api|admin|oat|sid)[0-9]{{2}}-{_ID}{{80,120}}"),
    _token("openai", f"sk-(?:proj|svcacct|admin|service)-{_ID}{{40,200}}"),
    _token("openai", "sk-[A-Za-z0-9]{32,64}"),
    _token("openrouter", "sk-or-v1-[a-f0-9]{64}"),
    _token("huggingface", "(?:hf|api_org)_[A-Za-z0-9]{34}"),
    _token("groq", "gsk_[A-Za-z0-9]{52}"),
    _token("perplexity", "pplx-[A-Za-z0-9]{48}"),
    _token("xai", "xai-[A-Za-z0-9]{80}"),
    _token("replicate", "r8_[A-Za-z0-9]{37}"),
    _token("langsmith", "lsv2_(?:pt|sk)_[a-f0-9]{32}_[a-f0-9]{10}"),
    _token("npm", "npm_[A-Za-z0-9]{36}"),
    _token("pypi", f"pypi-AgE{_ID}{{50,500}}"),
    _token("rubygems", "rubygems_[a-f0-9]{48}"),
    _token("docker", f"dckr_(?:pat|oat)_{_ID}{{27,32}}"),
    _token("sendgrid", rf"SG\.{_ID}{{22}}\.{_ID}{{43}}"),
    _token("twilio", "SK[0-9a-f]{32}"),
    _token("mailchimp", "[0-9a-f]{32}-us[0-9]{1,2}"),
    _token("telegram", f"[0-9]{{8,10}}:AA{_ID}{{33}}"),
    _token("discord", rf"[MNO]{_ID}{{23,25}}\.{_ID}{{6}}\.{_ID}{{27,38}}"),
    _token("shopify", "shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}"),
    _token("square", f"sq0(?:atp|csp)-{_ID}{{22,43}}"),
    _token("digitalocean", "do[opr]_v1_[a-f0-9]{64}"),
    _token("databricks", "dapi[a-f0-9]{32}(?:-[0-9])?"),
    _token("vault", f"hv[sbr]\\.{_ID}{{24,300}}"),
    _token("atlassian", "ATATT3[A-Za-z0-9_=-]{180,200}"),
    _token("linear", "lin_api_[A-Za-z0-9]{40}"),
    _token("notion", "ntn_[A-Za-z0-9]{46}"),
    _token("postman", "PMAK-[a-f0-9]{24}-[a-f0-9]{34}"),
    _token("newrelic", "NRAK-[A-Z0-9]{27}"),
    _token("grafana", "glsa_[A-Za-z0-9]{32}_[a-f0-9]{8}"),
    _token("age", "AGE-SECRET-KEY-1[02-9AC-HJ-NP-Z]{58}"),
    _token("doppler", r"dp\.(?:pt|st|ct|sa|scim|audit)\.[A-Za-z0-9._-]{40,64}"),
    _token("planetscale", "pscale_(?:tkn|pw|oauth)_[A-Za-z0-9=._-]{32,64}"),
    _token("supabase", "sbp_[a-f0-9]{40}"),
    _token("figma", f"figd_{_ID}{{38,45}}"),
    # RFC 7519. A signature of RSA-4096 has 683 characters.
    Form(
        "jwt",
        rf"eyJ{_ID}{{10,400}}\.eyJ{_ID}{{10,2000}}\.{_ID}{{16,700}}",
        is_jwt,
        left=r"[\w-]",
        right=r"[\w-]",
    ),
    # RFC 7468 and OpenPGP's armor. A key of RSA-4096 has 3,272 characters; one that is cut off is found without its end.
    Form(
        "private_key",
        f"{_BEGIN}{_BLANKS}{{40,3600}}?{_END}",
        has_key,
        left=NOTHING,
        right=NOTHING,
    ),
    Form(
        "private_key",
        f"{_BEGIN}{_KEY}{{40,3600}}",
        has_key,
        left=NOTHING,
        right=NOTHING,
    ),
    Form(
        "url_password",
        r"[A-Za-z][A-Za-z0-9+.-]{1,24}://[^\s:@/\"'<>]{0,64}:[^\s@/\"'<>]{3,128}@[A-Za-z0-9._\[-]{1,255}",
        is_url_password,
        left=r"\w",
        right=r"\w",
    ),
    Form(
        "authorization",
        r"[A-Za-z0-9+/._~-]{16,1000}={0,2}",
        is_random,
        after=r"(?i:bearer|basic) {1,3}",
        left=r"\w",
        right=r"[\w=]",
    ),
    Form("assignment", _VALUE, is_assigned_secret, after=f"{_NAMED}{_EQUALS}", left=r"[^\s=:>\"'`]", right=r"[\w(\[{]"),
    Form("password", _VALUE, is_password, after=f"{_PASSWORDS}{_ASSIGNED}", left=r"[^\s=:>\"'`]", right=r"[\w(\[{]"),
)
