//! Days and years, forth and back, on the proleptic Gregorian calendar. By hand because both directions are on the hot path of
//! every row with a timestamp; a test holds them against `jiff`.
//!
//! Absent: time zones and clocks. Everything here is UTC and given.

/// Microseconds of a day.
pub const DAY_MICROS: i64 = 86_400_000_000;

/// The first day that a date may be, 0001-01-01.
pub const DATE_MIN: i32 = -719_162;
/// The last day that a date may be, 9999-12-31.
pub const DATE_MAX: i32 = 2_932_896;

/// The first instant that a timestamp may be, 0001-01-01T00:00:00Z.
pub const TIMESTAMP_MIN: i64 = DATE_MIN as i64 * DAY_MICROS;
/// The last instant that a timestamp may be, 9999-12-31T23:59:59.999999Z.
pub const TIMESTAMP_MAX: i64 = (DATE_MAX as i64 + 1) * DAY_MICROS - 1;

/// Days since 1970-01-01 of a civil date, which must exist. Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
pub fn days_from_civil(year: i64, month: u32, day: u32) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = i64::from((month + 9) % 12);
    let day_of_year = (153 * month_from_march + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Year, month and day of a number of days since 1970-01-01. Same source.
pub fn civil_from_days(days: i64) -> (i64, u32, u32) {
    // Saturating: a number this large is no date, but it must not be a panic either.
    let shifted = days.saturating_add(719_468);
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * month_from_march + 2) / 5 + 1) as u32;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 } as u32;
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// How many days a month has.
pub fn days_in_month(year: i64, month: u32) -> u32 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// A reader of fixed-width digits: what dates and times are written with.
pub(super) struct Digits<'a> {
    rest: &'a [u8],
}

impl<'a> Digits<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Digits { rest: text.as_bytes() }
    }

    /// Exactly `count` digits as a number.
    pub(super) fn number(&mut self, count: usize) -> Option<u32> {
        let (digits, rest) = self.rest.split_at_checked(count)?;
        let mut number = 0;
        for digit in digits {
            number = number * 10 + u32::from(digit.is_ascii_digit().then(|| digit - b'0')?);
        }
        self.rest = rest;
        Some(number)
    }

    /// One of these bytes, if it is next.
    pub(super) fn eat(&mut self, any: &[u8]) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        any.contains(first).then(|| {
            self.rest = rest;
            *first
        })
    }

    /// Whether nothing is left.
    pub(super) fn is_done(&self) -> bool {
        self.rest.is_empty()
    }

    /// `YYYY-MM-DD` as days since 1970-01-01; years 0001 to 9999.
    pub(super) fn date(&mut self) -> Option<i64> {
        let year = self.number(4)?;
        self.eat(b"-")?;
        let month = self.number(2)?;
        self.eat(b"-")?;
        let day = self.number(2)?;
        let exists =
            year >= 1 && (1..=12).contains(&month) && (1..=days_in_month(i64::from(year), month)).contains(&day);
        exists.then(|| days_from_civil(i64::from(year), month, day))
    }

    /// `HH:MM[:SS[.f…]]` as microseconds since midnight. More than six digits of a second are rounded, as PostgreSQL does; the
    /// result may therefore be the next midnight.
    pub(super) fn time(&mut self) -> Option<i64> {
        let hour = self.number(2)?;
        self.eat(b":")?;
        let minute = self.number(2)?;
        let mut micros = (i64::from(hour) * 60 + i64::from(minute)) * 60_000_000;
        let mut second = 0;
        if self.eat(b":").is_some() {
            second = self.number(2)?;
            micros += i64::from(second) * 1_000_000;
            if self.eat(b".").is_some() {
                micros += self.fraction()?;
            }
        }
        (hour < 24 && minute < 60 && second < 60).then_some(micros)
    }

    /// One to nine digits after the point, as microseconds.
    fn fraction(&mut self) -> Option<i64> {
        let mut nanos = 0i64;
        let mut count = 0;
        while let Some(digit) = self.number(1) {
            count += 1;
            if count > 9 {
                return None;
            }
            nanos = nanos * 10 + i64::from(digit);
        }
        if count == 0 {
            return None;
        }
        nanos *= 10i64.pow(9 - count);
        Some((nanos + 500) / 1_000)
    }

    /// `Z`, `±HH`, `±HHMM` or `±HH:MM` as microseconds east of UTC. `None`: malformed.
    pub(super) fn offset(&mut self) -> Option<i64> {
        if self.eat(b"Zz").is_some() {
            return Some(0);
        }
        let sign = if self.eat(b"+-")? == b'-' { -1 } else { 1 };
        let hours = self.number(2)?;
        let minutes = if self.eat(b":").is_some() { self.number(2)? } else { self.number(2).unwrap_or(0) };
        (hours < 24 && minutes < 60).then(|| sign * (i64::from(hours) * 60 + i64::from(minutes)) * 60_000_000)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn agrees_with_jiff_on_every_day() {
        let epoch = jiff::civil::date(1970, 1, 1);
        for days in DATE_MIN..=DATE_MAX {
            let (year, month, day) = civil_from_days(i64::from(days));
            assert_eq!(days_from_civil(year, month, day), i64::from(days));
            if days % 97 == 0 {
                let theirs = epoch.checked_add(jiff::Span::new().days(days)).unwrap();
                assert_eq!((i64::from(theirs.year()), theirs.month() as u32, theirs.day() as u32), (year, month, day));
                assert_eq!(days_in_month(year, month), theirs.days_in_month() as u32);
            }
        }
        assert_eq!(civil_from_days(i64::from(DATE_MIN)), (1, 1, 1));
        assert_eq!(civil_from_days(i64::from(DATE_MAX)), (9999, 12, 31));
        civil_from_days(i64::MAX);
        civil_from_days(i64::MIN);
    }
}
