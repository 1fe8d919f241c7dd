"""Prints how far our code is from Dopamine 4.1.2: python -m tests.parity.dopamine_deviations"""

from . import dopamine_offline, dopamine_parity, dopamine_rainbow


def main() -> None:
    """One row per quantity, as a Markdown table."""
    print("| Quantity | Cases | Largest deviation | Limit |")
    print("|---|---:|---:|---:|")
    tables = (dopamine_parity, dopamine_rainbow, dopamine_offline)
    for quantity in [quantity for table in tables for quantity in table.QUANTITIES]:
        num_cases, deviation = quantity.measure()
        print(f"| {quantity.name} | {num_cases:,} | {deviation:.2g} | {quantity.limit:.2g} |")


if __name__ == "__main__":
    main()
