"""Case folding with positions."""

from gateway.guards.fold import fold, is_word, origins


def test_texts_that_keep_their_length_need_no_map():
    assert origins("ABC é", fold("ABC é")) is None


def test_characters_that_grow_keep_their_origin():
    folded = fold("aßb")
    assert folded == "assb"
    assert origins("aßb", folded) == [0, 1, 1, 2, 3]


def test_words_are_letters_digits_and_underscores_of_any_script():
    assert all(is_word(char) for char in "aZ5_é日ß٣")
    assert not any(is_word(char) for char in " -.+—“\n")
