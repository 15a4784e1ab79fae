"""The statement of an account, line by line. No dataframe at all."""

from itertools import accumulate


def balances(amounts):
    """The balance after each amount, as they come."""
    return accumulate(amounts)


def write_statement(amounts, file):
    """One line for each balance; never holds more than one of them."""
    for number, balance in enumerate(balances(amounts), start=1):
        file.write(f"{number},{balance}\n")
