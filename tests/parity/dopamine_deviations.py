"""Prints how far our code is from Dopamine 4.1.2: python -m tests.parity.dopamine_deviations"""

from .dopamine_parity import QUANTITIES


def main() -> None:
    """One row per quantity, as a Markdown table."""
    print("| Quantity | Cases | Largest deviation | Limit |")
    print("|---|---:|---:|---:|")
    for quantity in QUANTITIES:
        num_cases, deviation = quantity.measure()
        print(f"| {quantity.name} | {num_cases:,} | {deviation:.2g} | {quantity.limit:.2g} |")


if __name__ == "__main__":
    main()
