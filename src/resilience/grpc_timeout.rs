//! `grpc-timeout`: the time that a gRPC call has, as its header says it (gRPC over HTTP/2,
//! "Timeout").
//!
//! One to eight digits and a unit: `H`, `M`, `S`, `m`, `u`, `n`. Written in the finest unit that has
//! room, rounded down: a hop never hands on more time than it has, and loses at
//! most a hundred-thousandth of it.

/// Bytes of the longest text.
pub const MAX_TEXT: usize = 9;

const MOST: u64 = 99_999_999;
/// From fine to coarse, in nanoseconds.
const UNITS: [(u8, u64); 6] = [
    (b'n', 1),
    (b'u', 1_000),
    (b'm', 1_000_000),
    (b'S', 1_000_000_000),
    (b'M', 60_000_000_000),
    (b'H', 3_600_000_000_000),
];

/// The nanoseconds that the value of a `grpc-timeout` field tells, or as many as there can be.
/// `None` if it is none.
#[must_use]
pub fn parse(text: &[u8]) -> Option<u64> {
    let (unit, digits) = text.split_last()?;
    let (_, unit_ns) = UNITS.iter().find(|(letter, _)| letter == unit)?;
    let is_number = (1..MAX_TEXT).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    let number = digits.iter().fold(0u64, |number, digit| {
        number
            .wrapping_mul(10)
            .wrapping_add(u64::from(*digit & 0xf))
    });
    is_number.then(|| number.saturating_mul(*unit_ns))
}

/// Writes what [`parse`] reads.
pub fn write(timeout_ns: u64, buffer: &mut [u8; MAX_TEXT]) -> &[u8] {
    let fits = |(_, unit_ns): &&(u8, u64)| timeout_ns / unit_ns <= MOST;
    // All times that there are fit into hours.
    let (letter, unit_ns) = *UNITS.iter().find(fits).unwrap_or(&UNITS[UNITS.len() - 1]);
    let mut rest = (timeout_ns / unit_ns).min(MOST);
    let count = rest.checked_ilog10().unwrap_or(0) as usize + 1;
    for byte in buffer[..count].iter_mut().rev() {
        *byte = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    buffer[count] = letter;
    &buffer[..=count]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(timeout_ns: u64) -> String {
        let mut buffer = [0; MAX_TEXT];
        String::from_utf8(write(timeout_ns, &mut buffer).to_vec()).unwrap()
    }

    #[test]
    fn reads_what_is_exactly_right() {
        let table = [
            ("1H", Some(3_600_000_000_000)),
            ("2M", Some(120_000_000_000)),
            ("3S", Some(3_000_000_000)),
            ("4m", Some(4_000_000)),
            ("5u", Some(5_000)),
            ("6n", Some(6)),
            ("0n", Some(0)),
            ("00000001S", Some(1_000_000_000)),
            ("99999999S", Some(99_999_999_000_000_000)),
            ("99999999H", Some(u64::MAX)),
            ("", None),
            ("S", None),
            ("1", None),
            ("1s", None),
            ("1h", None),
            ("100000000S", None),
            ("-1S", None),
            ("+1S", None),
            ("1 S", None),
            ("1.5S", None),
            ("1SS", None),
            ("1S ", None),
        ];
        for (text, expected) in table {
            assert_eq!(parse(text.as_bytes()), expected, "{text}");
        }
        assert_eq!(parse(b"\xb1S"), None);
    }

    #[test]
    fn writes_the_finest_unit_that_fits() {
        let table = [
            (0, "0n"),
            (99_999_999, "99999999n"),
            (100_000_000, "100000u"),
            (1_234_567_899, "1234567u"),
            (3_600_000_000_000, "3600000m"),
            (360_000_000_000_000_000, "6000000M"),
            (u64::MAX, "5124095H"),
        ];
        for (ns, expected) in table {
            assert_eq!(text(ns), expected);
        }
    }

    proptest! {
        #[test]
        fn a_hop_never_adds_time_and_loses_little(
            shift in 0..64u32,
            bits in any::<u64>(),
        ) {
            let ns = bits >> shift;
            let told = parse(text(ns).as_bytes()).unwrap();
            prop_assert!(told <= ns);
            prop_assert!(ns - told <= ns / 100_000, "{} told as {}", ns, told);
        }

        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..12)) {
            if parse(&bytes).is_some() {
                prop_assert!(bytes.len() <= MAX_TEXT && bytes.is_ascii());
            }
        }
    }
}
