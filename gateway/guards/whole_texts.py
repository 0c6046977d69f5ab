"""The guards that judge whole texts, as the catalogue lists them."""

from gateway.guards.catalogue import GuardType
from gateway.guards.choices import ChoicesOptions, make_choices
from gateway.guards.formats import FormatOptions, make_format
from gateway.guards.gibberish import GibberishOptions, make_gibberish
from gateway.guards.injection.guard import InjectionOptions, make_injection
from gateway.guards.json_shape import JsonOptions, make_json
from gateway.guards.language.guard import LanguageOptions, make_language
from gateway.guards.length import LengthOptions, make_length
from gateway.guards.refusal import RefusalOptions, make_refusal
from gateway.guards.script import ScriptOptions, make_script
from gateway.guards.sql.guard import SqlOptions, make_sql
from gateway.guards.xml_shape import XmlOptions, make_xml

WHOLE_TEXTS: tuple[GuardType, ...] = (
    GuardType(
        "length",
        LengthOptions,
        make_length,
        "Too many or too few characters, words, sentences or lines.",
        "Unicode Standard Annex 29 for sentences, read cheaply",
        rank=0,
    ),
    GuardType(
        "choices", ChoicesOptions, make_choices, "An answer that is none of the given ones.", "No method: equality", rank=0
    ),
    GuardType(
        "format",
        FormatOptions,
        make_format,
        "An answer, or a field of a JSON answer, that is no date, number, e-mail address and the like.",
        "JSON Schema draft 2020-12, Validation 7.3; RFC 6901 for fields; ITU-T E.164",
        rank=0,
    ),
    GuardType(
        "json",
        JsonOptions,
        make_json,
        "Text that is not one JSON value, or not an instance of a JSON Schema.",
        "RFC 8259; JSON Schema draft 2020-12",
    ),
    GuardType(
        "xml",
        XmlOptions,
        make_xml,
        "Text that is not one well-formed XML document, has a document type, or elements that are not allowed.",
        "W3C XML 1.0, fifth edition; CWE-611 and CWE-776 for the document type",
    ),
    GuardType(
        "sql",
        SqlOptions,
        make_sql,
        "Text that is not one SQL statement of an allowed kind on allowed tables.",
        "Lexical chapters of the manuals of PostgreSQL 17, MySQL 8.4 and SQLite; CWE-89",
    ),
    GuardType(
        "script",
        ScriptOptions,
        make_script,
        "Letters of writing systems that are not allowed, and words that mix look-alike ones.",
        "Unicode Standard Annex 24; Unicode Technical Standard 39, 5.1",
    ),
    GuardType(
        "language",
        LanguageOptions,
        make_language,
        "Passages in a language that is not allowed, of 176 that are told apart.",
        "Joulin et al. (2016), https://arxiv.org/abs/1607.01759; the model lid.176.ftz",
        rank=2,
    ),
    GuardType(
        "gibberish",
        GibberishOptions,
        make_gibberish,
        "Letters that no language writes in this order, and texts that repeat themselves.",
        "Shannon (1948): a Markov chain of letters; RFC 1951 as a measure of repetition",
    ),
    GuardType(
        "refusal",
        RefusalOptions,
        make_refusal,
        "Answers that decline, in 14 languages.",
        "Zou et al. (2023), appendix: prefixes of refusals",
        directions=frozenset({"out"}),
    ),
    GuardType(
        "injection",
        InjectionOptions,
        make_injection,
        "Prompt injection and jailbreaks: scored wording of known attacks, also obfuscated, encoded and in 30 languages.",
        "OWASP Top 10 for LLM Applications 2025, LLM01 and LLM07; Unicode Technical Standard 39",
        rank=2,
    ),
)
"""Cheap ones first."""
