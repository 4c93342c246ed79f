//! Subnets: just enough to choose one that is free.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// A network address and its prefix length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subnet {
    base: u32,
    length: u32,
}

impl Subnet {
    pub(crate) fn new(address: Ipv4Addr, length: u32) -> Self {
        let length = length.min(32);
        Self { base: u32::from(address) & mask(length), length }
    }

    /// Reads `10.4.1.0/24`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (address, length) = text.split_once('/')?;
        let length = length.parse().ok().filter(|length| *length <= 32)?;
        Some(Self::new(address.parse().ok()?, length))
    }

    /// How many addresses it has.
    pub(crate) fn size(self) -> u32 {
        u32::try_from(1_u64 << (32 - self.length)).unwrap_or(u32::MAX)
    }

    /// Its address number so and so.
    pub(crate) fn nth(self, index: u32) -> Ipv4Addr {
        Ipv4Addr::from(self.base.wrapping_add(index))
    }

    /// Whether an address is one of its own.
    pub(crate) fn contains(self, address: Ipv4Addr) -> bool {
        u32::from(address) & mask(self.length) == self.base
    }

    fn overlaps(self, other: Self) -> bool {
        let shorter = mask(self.length.min(other.length));
        self.base & shorter == other.base & shorter
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", Ipv4Addr::from(self.base), self.length)
    }
}

/// The same of IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subnet6 {
    base: u128,
    length: u32,
}

impl Subnet6 {
    /// Reads `2001:db8::/64`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (address, length) = text.split_once('/')?;
        let length = length.parse().ok().filter(|length| *length <= 128)?;
        let mask = u128::MAX.checked_shl(128 - length).unwrap_or(0);
        Some(Self { base: u128::from(address.parse::<Ipv6Addr>().ok()?) & mask, length })
    }

    /// A unique local /64 from the first 14 digits of an identity.
    pub(crate) fn unique_local(id: &str) -> Self {
        let digits = id.get(..14).and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or(0);
        Self { base: u128::from(0xfd << 56 | digits) << 64, length: 64 }
    }

    /// Its address number so and so.
    pub(crate) fn nth(self, index: u128) -> Ipv6Addr {
        Ipv6Addr::from(self.base.wrapping_add(index))
    }

    /// Its last address.
    pub(crate) fn last(self) -> Ipv6Addr {
        Ipv6Addr::from(self.base | u128::MAX.checked_shr(self.length).unwrap_or(0))
    }
}

impl fmt::Display for Subnet6 {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", Ipv6Addr::from(self.base), self.length)
    }
}

fn mask(length: u32) -> u32 {
    u32::MAX.checked_shl(32 - length).unwrap_or(0)
}

/// The first free /24 of 10.4.0.0/14, from 10.4.1.0 as nerdctl chooses.
pub(crate) fn free_subnet(used: &[Subnet]) -> Option<Subnet> {
    let first = u32::from(Ipv4Addr::new(10, 4, 1, 0));
    let candidates = (0..1023).map(|index| Subnet::new(Ipv4Addr::from(first + index * 256), 24));
    candidates.into_iter().find(|candidate| !used.iter().any(|used| used.overlaps(*candidate)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chosen_subnet_overlaps_with_no_used_one() {
        let used = ["10.4.1.0/24", "10.4.2.0/25", "10.4.3.128/30", "0.0.0.0/32"];
        let used: Vec<Subnet> = used.into_iter().filter_map(Subnet::parse).collect();
        assert_eq!(free_subnet(&used).map(|subnet| subnet.to_string()).as_deref(), Some("10.4.4.0/24"));
        let all = [Subnet::parse("10.0.0.0/8").unwrap()];
        assert_eq!(free_subnet(&all), None);
    }

    #[test]
    fn subnets_are_read_and_wrong_ones_are_not() {
        let subnet = Subnet::parse("172.28.5.77/16").unwrap();
        assert_eq!((subnet.to_string().as_str(), subnet.size()), ("172.28.0.0/16", 65536));
        assert_eq!(subnet.nth(1), Ipv4Addr::new(172, 28, 0, 1));
        for wrong in ["", "10.0.0.0", "10.0.0.0/33", "x/8", "fd00::/64"] {
            assert_eq!(Subnet::parse(wrong), None, "{wrong}");
        }
    }
}
