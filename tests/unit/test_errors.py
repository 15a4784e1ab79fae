from pytest_layers.errors import EngineNotRunnable, LayersError, guess, unknown

ENGINES = ["polars", "pandas", "pandas-arrow", "duckdb", "vaex"]


def test_a_word_close_to_a_known_one_is_guessed():
    assert guess("panda", ["pandas", "vaex"]) == "; did you mean 'pandas'?"


def test_names_that_contain_the_word_are_guessed_too():
    assert guess("arrow", ENGINES) == "; did you mean 'pandas-arrow'?"


def test_two_guesses_are_both_named():
    assert guess("pandas-", ENGINES) == "; did you mean 'pandas' or 'pandas-arrow'?"


def test_a_word_far_from_all_is_not_guessed():
    assert guess("spark", ENGINES) == ""


def test_no_word_is_not_guessed():
    assert guess("", ENGINES) == ""


def test_an_unknown_word_is_named_with_all_known_ones_in_order():
    text = unknown("engine", "spark", ENGINES)
    assert text == ("unknown engine 'spark'. Known: duckdb, pandas, pandas-arrow, polars, vaex")


def test_an_unknown_word_close_to_a_known_one_is_guessed():
    assert unknown("engine", "vaexx", ENGINES).startswith(
        "unknown engine 'vaexx'; did you mean 'vaex'? Known: "
    )


def test_what_the_user_can_mend_is_one_kind_of_error():
    assert issubclass(EngineNotRunnable, LayersError)
