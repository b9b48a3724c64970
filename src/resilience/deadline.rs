//! Deadlines: when the answer is of no use any more, told from hop to hop.
//!
//! `l5d-ctx-deadline` carries two times of the wall clock in nanoseconds, when the deadline was last
//! set and when it is. A timeout would need no clock but grows by the time on every wire; a time of
//! day is exact and trusts that clocks agree. Both numbers together need less trust: however wrong
//! the sender's clock is, there never was more time than from one to the other. So a clock that is
//! ahead gives no request more than it was given ([`Deadline::due`]). One that is behind by more than
//! a timeout makes every request late, and nobody can tell that from being late.
//!
//! Inside, a deadline is a time of the shard's monotonic clock, [`NEVER`] if there is none: comparing
//! it costs nothing, and the wall clock may jump. Wall and monotonic meet in [`Clocks`], two readings
//! of one moment.

/// The time of a deadline that is none, on the monotonic clock.
pub const NEVER: u64 = u64::MAX;

/// Digits of the largest time that the JVM knows, 2^63 − 1; more are refused.
const MOST_DIGITS: usize = 19;
/// Bytes of the longest text of a deadline.
pub const MAX_TEXT: usize = 2 * MOST_DIGITS + 1;

/// A deadline as it is told from hop to hop. Nanoseconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    /// When it was last set.
    pub timestamp_ns: u64,
    pub deadline_ns: u64,
}

/// One moment on both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clocks {
    /// Nanoseconds since the epoch.
    pub wall_ns: u64,
    /// Nanoseconds of the shard's clock.
    pub monotonic_ns: u64,
}

impl Deadline {
    /// Reads `<timestamp> <deadline>`: two decimal numbers below 2^63 and one space. `None` for
    /// anything else.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Deadline> {
        // Longer than any that is valid: not worth a look.
        if text.len() > MAX_TEXT {
            return None;
        }
        let space = text.iter().position(|byte| *byte == b' ')?;
        Some(Deadline {
            timestamp_ns: number(&text[..space])?,
            deadline_ns: number(&text[space + 1..])?,
        })
    }

    /// Of several deadlines of one request: the latest timestamp, the earliest deadline.
    #[must_use]
    pub fn combine(self, other: Deadline) -> Deadline {
        Deadline {
            timestamp_ns: self.timestamp_ns.max(other.timestamp_ns),
            deadline_ns: self.deadline_ns.min(other.deadline_ns),
        }
    }

    /// Writes what [`Deadline::parse`] reads.
    pub fn write(self, buffer: &mut [u8; MAX_TEXT]) -> &[u8] {
        let at = digits(buffer, 0, self.timestamp_ns.min(i64::MAX as u64));
        buffer[at] = b' ';
        let end = digits(buffer, at + 1, self.deadline_ns.min(i64::MAX as u64));
        &buffer[..end]
    }

    /// The deadline to tell the next hop: set now, at this time of the shard's clock. `None` for
    /// [`NEVER`].
    #[must_use]
    pub fn from_due(due_ns: u64, clocks: Clocks) -> Option<Deadline> {
        let left = due_ns.saturating_sub(clocks.monotonic_ns);
        (due_ns != NEVER).then(|| Deadline {
            timestamp_ns: clocks.wall_ns,
            deadline_ns: clocks.wall_ns.saturating_add(left),
        })
    }

    /// When it is on the shard's clock: at most the time between its two times from now on, and now
    /// if it has passed.
    #[must_use]
    pub fn due(self, clocks: Clocks) -> u64 {
        let left = self.deadline_ns.saturating_sub(clocks.wall_ns);
        let given = self.deadline_ns.saturating_sub(self.timestamp_ns);
        // Not the same as none, even at the end of time.
        let due = clocks.monotonic_ns.saturating_add(left.min(given));
        due.min(NEVER - 1)
    }
}

/// The lesser of a deadline and a timeout (ns) that has run since the start; [`NEVER`] if there is
/// neither. All on the shard's clock.
#[must_use]
pub fn tighten(due_ns: u64, started_ns: u64, timeout_ns: Option<u64>) -> u64 {
    timeout_ns.map_or(due_ns, |timeout| {
        due_ns.min(started_ns.saturating_add(timeout))
    })
}

/// How much time is left until a deadline on the shard's clock (ns); `None` if it has passed.
#[must_use]
pub fn left(due_ns: u64, now_ns: u64) -> Option<u64> {
    let left = due_ns.saturating_sub(now_ns);
    (left > 0).then_some(left)
}

fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > MOST_DIGITS || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    // Nineteen digits fit into 64 bits.
    let number = text
        .iter()
        .fold(0u64, |number, digit| number * 10 + u64::from(digit - b'0'));
    (number <= i64::MAX as u64).then_some(number)
}

/// Writes a number below 2^63 from `at` on; where it ends.
fn digits(buffer: &mut [u8; MAX_TEXT], at: usize, number: u64) -> usize {
    let count = number.checked_ilog10().unwrap_or(0) as usize + 1;
    let mut rest = number;
    for byte in buffer[at..at + count].iter_mut().rev() {
        *byte = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    at + count
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const WALL: u64 = 1_700_000_000 * SECOND;

    fn deadline(timestamp_ns: u64, deadline_ns: u64) -> Deadline {
        Deadline {
            timestamp_ns,
            deadline_ns,
        }
    }

    fn text(deadline: Deadline) -> String {
        let mut buffer = [0; MAX_TEXT];
        String::from_utf8(deadline.write(&mut buffer).to_vec()).unwrap()
    }

    #[test]
    fn reads_what_is_exactly_right() {
        let good = [
            ("0 0", deadline(0, 0)),
            ("1 23", deadline(1, 23)),
            ("007 010", deadline(7, 10)),
            (
                "1700000000000000000 1700000001000000000",
                deadline(WALL, WALL + SECOND),
            ),
            (
                "9223372036854775807 9223372036854775807",
                deadline(i64::MAX as u64, i64::MAX as u64),
            ),
        ];
        for (text, expected) in good {
            assert_eq!(Deadline::parse(text.as_bytes()), Some(expected), "{text}");
        }
        let bad = [
            "",
            " ",
            "1",
            "1 ",
            " 1",
            "1  2",
            "1\t2",
            "1 2 ",
            " 1 2",
            "1 2 3",
            "-1 2",
            "+1 2",
            "1.0 2",
            "1e9 2",
            "0x1 2",
            "1 2a",
            "9223372036854775808 1",
            "1 9999999999999999999",
            "00000000000000000001 1",
            "1, 2",
        ];
        for text in bad {
            assert_eq!(Deadline::parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(Deadline::parse(&[b'1'; 100_000]), None);
        assert_eq!(Deadline::parse(b"1 \xff"), None);
    }

    #[test]
    fn writes_within_its_buffer() {
        assert_eq!(text(deadline(0, 10)), "0 10");
        assert_eq!(text(deadline(9, 99)), "9 99");
        assert_eq!(
            text(deadline(u64::MAX, u64::MAX)),
            "9223372036854775807 9223372036854775807"
        );
    }

    #[test]
    fn several_combine_to_the_narrowest() {
        let combined = deadline(5, 90).combine(deadline(7, 100));
        assert_eq!(combined, deadline(7, 90));
        assert_eq!(deadline(7, 100).combine(deadline(5, 90)), combined);
    }

    #[test]
    fn due_by_the_clocks_of_both() {
        let clocks = Clocks {
            wall_ns: WALL,
            monotonic_ns: 50 * SECOND,
        };
        let seconds = |sent: i64, due: i64| {
            let at = |s: i64| WALL.saturating_add_signed(s * SECOND as i64);
            deadline(at(sent), at(due)).due(clocks) / SECOND
        };
        // Seconds from now by the sender's clock; when that is by ours.
        let table = [
            (0, 3, 53),
            (-1, 2, 52),
            (-5, -2, 50),
            (-3, 0, 50),
            // Its clock is ahead by 100: never more than it was given.
            (100, 103, 53),
            // Set after it passed.
            (1, 0, 50),
        ];
        for (sent, due, expected) in table {
            assert_eq!(seconds(sent, due), expected, "{sent} {due}");
        }
        assert_eq!(
            deadline(0, u64::MAX).due(Clocks {
                wall_ns: 0,
                monotonic_ns: u64::MAX
            }),
            NEVER - 1
        );
    }

    #[test]
    fn the_lesser_of_what_came_and_what_is_configured() {
        // Due, started, timeout; expected.
        let table = [
            (NEVER, 100, None, NEVER),
            (NEVER, 100, Some(50), 150),
            (120, 100, None, 120),
            (120, 100, Some(50), 120),
            (180, 100, Some(50), 150),
            (NEVER, u64::MAX - 5, Some(50), NEVER),
        ];
        for (due, started, timeout, expected) in table {
            assert_eq!(tighten(due, started, timeout), expected);
        }
        assert_eq!(left(100, 40), Some(60));
        assert_eq!((left(100, 100), left(100, 101)), (None, None));
        assert!(left(NEVER, 101).is_some());
    }

    #[test]
    fn none_is_told_as_none() {
        let clocks = Clocks {
            wall_ns: WALL,
            monotonic_ns: 5,
        };
        assert_eq!(Deadline::from_due(NEVER, clocks), None);
        let late = Deadline::from_due(3, clocks);
        assert_eq!(late, Some(deadline(WALL, WALL)));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(timestamp in 0..=i64::MAX as u64, due in 0..=i64::MAX as u64) {
            let deadline = deadline(timestamp, due);
            prop_assert_eq!(Deadline::parse(text(deadline).as_bytes()), Some(deadline));
        }

        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            if let Some(deadline) = Deadline::parse(&bytes) {
                prop_assert!(bytes.iter().all(|b| b.is_ascii_digit() || *b == b' '));
                prop_assert!(deadline.deadline_ns <= i64::MAX as u64);
            }
        }

        #[test]
        fn a_hop_between_good_clocks_changes_nothing(
            left in 0..1_000 * SECOND,
            here in 0..1u64 << 60,
            there in 0..1u64 << 60,
        ) {
            let sent = Clocks { wall_ns: WALL, monotonic_ns: here };
            let received = Clocks { wall_ns: WALL + 7, monotonic_ns: there };
            let told = Deadline::from_due(here + left, sent).unwrap();
            prop_assert_eq!(told.due(received), there + left.saturating_sub(7));
        }
    }
}
