//! What addresses are ordered by and placed by.
//!
//! Processes of a fleet, of different versions too, must agree about it: else like requests do not
//! meet, and windows do not fit together. So the function is here and must never change, where a
//! library's may with any release.

use std::net::{IpAddr, SocketAddr};

use super::rng::mix;

/// A number that belongs to an address.
pub(super) fn address(addr: SocketAddr) -> u64 {
    let (high, low) = match addr.ip() {
        IpAddr::V4(ip) => (0, u64::from(u32::from(ip))),
        IpAddr::V6(ip) => {
            let bits = u128::from(ip);
            ((bits >> 64) as u64, bits as u64)
        }
    };
    let stirred = mix(mix(high).wrapping_add(low));
    mix(stirred.wrapping_add(u64::from(addr.port())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_what_it_always_was() {
        // Computed by another program, from the words above.
        let cases = [
            ("10.0.0.1:80", 0x83a7_86fd_5349_d651),
            ("10.0.0.1:81", 0x6ded_ac27_6a5a_9812),
            ("10.0.0.2:80", 0xdd55_04a7_c5c2_d0f0),
            ("[2001:db8::1]:80", 0xbc0e_045e_f577_2919),
        ];
        for (addr, expected) in cases {
            let found = address(addr.parse().unwrap());
            assert_eq!(found, expected, "{addr}: {found:#018x}");
        }
    }
}
