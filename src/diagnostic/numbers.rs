//! Numbers as people read them: `22.7 M`, `1.43 G`, `90.9 MB`, `15.0-16.1 M`, `50 %`.

/// What large numbers are divided by: 1, a thousand, a million and so on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scale(usize);

const PREFIXES: [&str; 5] = ["", "K", "M", "G", "T"];

impl Scale {
    /// The scale that shows a number with one to three digits before its point.
    pub fn of(number: u64) -> Self {
        let fits = |&scale: &usize| (number as f64) < 999.5 * Self(scale).unit();
        Self((0..PREFIXES.len()).find(fits).unwrap_or(PREFIXES.len() - 1))
    }

    /// The scale itself, or a smaller one where too little of the number would be seen.
    pub fn fit(self, number: u64) -> Self {
        let own = Self::of(number);
        if self.0 > own.0 && (number as f64) < self.unit() / 10.0 { own } else { self }
    }

    fn unit(self) -> f64 {
        1000_f64.powi(i32::try_from(self.0).expect("there are five prefixes"))
    }

    /// The number in this scale, three digits of it.
    fn digits(self, number: u64) -> String {
        let amount = number as f64 / self.unit();
        match self.0 {
            0 => number.to_string(),
            _ if amount >= 99.95 => format!("{amount:.0}"),
            _ if amount >= 9.995 => format!("{amount:.1}"),
            _ => format!("{amount:.2}"),
        }
    }

    /// `15.0-16.1 M`, with what is counted behind it: nothing, or `B` for bytes.
    fn range(self, min: u64, max: u64, of: &str) -> String {
        let (low, high) = (self.digits(min), self.digits(max));
        let unit = format!("{}{of}", PREFIXES[self.0]);
        let space = if unit.is_empty() { "" } else { " " };
        if low == high { format!("{high}{space}{unit}") } else { format!("{low}-{high}{space}{unit}") }
    }
}

/// `1.43 G`
pub fn count(number: u64) -> String {
    count_range(number, number, Scale::of(number))
}

/// `90.9 MB`
pub fn bytes(number: u64) -> String {
    bytes_range(number, number, Scale::of(number))
}

/// `15.0-16.1 M`, or one number where both read the same.
pub fn count_range(min: u64, max: u64, scale: Scale) -> String {
    scale.fit(max).range(min, max, "")
}

/// `60.0-64.1 MB`
pub fn bytes_range(min: u64, max: u64, scale: Scale) -> String {
    scale.fit(max).range(min, max, "B")
}

/// `12.50 ms` of nanoseconds.
pub fn milliseconds(nanoseconds: u64) -> String {
    format!("{} ms", digits(nanoseconds as f64 / 1e6))
}

/// `12.50-13.20 ms` of nanoseconds, or one number where both read the same.
pub fn milliseconds_range(min: u64, max: u64) -> String {
    let [low, high] = [min, max].map(|nanoseconds| digits(nanoseconds as f64 / 1e6));
    if low == high { format!("{high} ms") } else { format!("{low}-{high} ms") }
}

/// `50 %`, `99.95 %`: as many digits as tell it from its neighbours, at most two behind the point.
pub fn share(share: f64) -> String {
    let percent = format!("{:.2}", share * 100.0);
    let short = percent.trim_end_matches('0').trim_end_matches('.');
    format!("{short} %")
}

/// Four digits of a number: `23.81`, `0.03187`.
pub fn digits(value: f64) -> String {
    let whole = if value == 0.0 { 0.0 } else { value.abs().log10().floor() };
    let behind = (3.0 - whole).clamp(0.0, 9.0) as usize;
    format!("{value:.behind$}")
}

/// `1 layer`, `3 layers`
pub fn things(number: usize, what: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{number} {what}{s}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_are_shown() {
        assert_eq!(
            [0, 7, 999, 1000, 22_700_000, 1_430_000_000].map(count),
            ["0", "7", "999", "1.00 K", "22.7 M", "1.43 G"]
        );
        assert_eq!([90_900_000, 999_499, 999_500].map(bytes), ["90.9 MB", "999 KB", "1.00 MB"]);
        assert_eq!(bytes(12), "12 B");
    }

    #[test]
    fn four_digits_are_shown_of_numbers_without_a_unit() {
        assert_eq!(
            [23.814_2, 0.031_874, 1234.56, 0.0, -1.0].map(digits),
            ["23.81", "0.03187", "1235", "0.000", "-1.000"]
        );
    }

    #[test]
    fn both_ends_of_a_range_have_one_unit() {
        let range = |min, max| count_range(min, max, Scale::of(max));
        assert_eq!(range(15_000_000, 16_100_000), "15.0-16.1 M");
        assert_eq!(range(900_000, 1_200_000), "0.90-1.20 M");
        assert_eq!(range(5_000_000, 5_000_001), "5.00 M");
    }

    #[test]
    fn a_column_keeps_its_unit_until_too_little_is_seen() {
        let giga = Scale::of(1_430_000_000);
        assert_eq!(count_range(860_000_000, 860_000_000, giga), "0.86 G");
        assert_eq!(count_range(43_000_000, 43_000_000, giga), "43.0 M");
        assert_eq!(count_range(2_000_000_000_000, 2_000_000_000_000, giga), "2000 G");
    }

    #[test]
    fn shares_are_in_percent() {
        assert_eq!(
            [0.5, 0.9995, 1.0, 0.0, 0.123_456].map(share),
            ["50 %", "99.95 %", "100 %", "0 %", "12.35 %"]
        );
    }
}
