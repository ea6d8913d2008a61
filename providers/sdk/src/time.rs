//! The two forms in which services write times. Nothing here asks for the time of day: a component
//! has no clock.

/// Milliseconds since the Unix epoch of an RFC 3339 time, or `None` where it is none or lies before
/// the epoch (Go writes an absent time as the year 1).
pub fn rfc3339_ms(text: &str) -> Option<u64> {
    let (date, rest) = text.split_once(['T', 't', ' '])?;
    let mut date = date.split('-');
    let (year, month, day) =
        (number(date.next()?, 4)?, number(date.next()?, 2)?, number(date.next()?, 2)?);
    if date.next().is_some() {
        return None;
    }
    let zone = rest.find(['Z', 'z', '+', '-'])?;
    let (clock, zone) = rest.split_at(zone);
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let ms = fraction.bytes().chain(*b"000").take(3).fold(0, |ms, b| ms * 10 + i64::from(b - b'0'));
    let offset = match zone {
        "Z" | "z" => 0,
        _ => {
            let (hours, minutes) = zone[1..].split_once(':')?;
            let seconds = number(hours, 2)? * 3600 + number(minutes, 2)? * 60;
            if zone.starts_with('-') { -seconds } else { seconds }
        }
    };
    let seconds = seconds(year, month, day, clock)? - offset;
    u64::try_from(seconds * 1000 + ms).ok()
}

/// [`rfc3339_ms`] of what a member of an object says.
pub fn member_ms(object: &serde_json::Value, name: &str) -> Option<u64> {
    rfc3339_ms(object[name].as_str()?)
}

/// The RFC 3339 time in UTC of so many milliseconds since the Unix epoch: `2026-11-22T13:09:20Z`, or
/// `2026-11-22T13:09:20.250Z` where it is no whole second.
pub fn rfc3339(ms: u64) -> String {
    let (days, in_day) = (ms / 86_400_000, ms % 86_400_000);
    // As in `days` below.
    let days = days + 719_468;
    let (cycle, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (year, month) = (year + cycle * 400 + month / 10, (month + 2) % 12 + 1);
    let (h, m, s) = (in_day / 3_600_000, in_day / 60_000 % 60, in_day / 1000 % 60);
    let fraction = match in_day % 1000 {
        0 => String::new(),
        ms => format!(".{ms:03}"),
    };
    format!("{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}{fraction}Z")
}

/// Seconds since the Unix epoch of an HTTP date in its fixed form (RFC 9110 section 5.6.7):
/// `Sun, 06 Nov 1994 08:49:37 GMT`.
pub fn http_date(text: &str) -> Option<u64> {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let mut words = text.split_once(", ")?.1.split(' ');
    let day = number(words.next()?, 2)?;
    let name = words.next().filter(|name| name.len() == 3)?;
    let at = MONTHS.find(name).filter(|at| at % 3 == 0)?;
    let month = i64::try_from(at / 3 + 1).ok()?;
    let year = number(words.next()?, 4)?;
    let clock = words.next()?;
    if words.next() != Some("GMT") {
        return None;
    }
    u64::try_from(seconds(year, month, day, clock)?).ok()
}

fn seconds(year: i64, month: i64, day: i64, clock: &str) -> Option<i64> {
    let mut clock = clock.split(':');
    let (h, m, s) =
        (number(clock.next()?, 2)?, number(clock.next()?, 2)?, number(clock.next()?, 2)?);
    let inside =
        (1..=12).contains(&month) && (1..=31).contains(&day) && h < 24 && m < 60 && s <= 60;
    if clock.next().is_some() || !inside {
        return None;
    }
    Some(days(year, month, day) * 86_400 + h * 3600 + m * 60 + s)
}

/// Days from 1970-01-01, proleptic Gregorian. Years are counted from March, so that the leap day is
/// a year's last, in cycles of 400 years of 146,097 days.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (cycle, year) = (year.div_euclid(400), year.rem_euclid(400));
    let in_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    cycle * 146_097 + year * 365 + year / 4 - year / 100 + in_year - 719_468
}

fn number(text: &str, digits: usize) -> Option<i64> {
    let plain = text.len() == digits && text.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_3339_times_are_read_to_the_millisecond() {
        for (text, ms) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2026-11-22T13:09:20.085667745Z", 1_795_352_960_085),
            ("2026-11-22T14:09:20.5+01:00", 1_795_352_960_500),
            ("2000-02-29T23:59:59Z", 951_868_799_000),
            ("2024-03-01T00:00:00-00:30", 1_709_253_000_000),
        ] {
            assert_eq!(rfc3339_ms(text), Some(ms), "{text}");
        }
    }

    #[test]
    fn a_time_is_written_as_it_is_read() {
        for text in [
            "1970-01-01T00:00:00Z",
            "1999-12-31T23:59:59.999Z",
            "2000-02-29T12:00:00.001Z",
            "2024-02-29T00:00:00Z",
            "2024-12-31T00:00:00Z",
            "2026-01-05T09:07:03.250Z",
            "2100-03-01T00:00:00Z",
        ] {
            assert_eq!(rfc3339(rfc3339_ms(text).unwrap()), text);
        }
        for ms in (0..60_000).map(|day| day * 86_399_001) {
            assert_eq!(rfc3339_ms(&rfc3339(ms)), Some(ms));
        }
    }

    #[test]
    fn what_is_no_time_is_no_time() {
        for text in [
            "",
            "0001-01-01T00:00:00Z",
            "2026-11-22",
            "2026-13-01T00:00:00Z",
            "2026-11-22T13:09:20",
            "2026-11-22T13:09:20.xZ",
            "2026-11-22T25:09:20Z",
            "2026-11-22T13:09Z",
            "2026-11-22T13:09:20+1",
        ] {
            assert_eq!(rfc3339_ms(text), None, "{text}");
        }
    }

    #[test]
    fn http_dates_are_read_to_the_second() {
        assert_eq!(http_date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(http_date("Sun, 22 Nov 2026 13:09:20 GMT"), Some(1_795_352_960));
        for text in [
            "",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Sun, 06 ovD 1994 08:49:37 GMT",
        ] {
            assert_eq!(http_date(text), None, "{text}");
        }
    }
}
