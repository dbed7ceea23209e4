//! How many connections may be open, in all and for one peer.
//!
//! # Invariants
//!
//! 1. What is counted as taken are the places that live: `all` of them, and those of each peer that has any.
//! 2. The limits are looked at and the place is taken under one lock, so two clients cannot both have the last one.
//! 3. The lock is the innermost: nobody takes another one under it, and nobody drops a place under one.

use std::{
    collections::HashMap,
    fmt,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The limits, and how much of them is taken.
#[derive(Debug)]
pub(crate) struct Places {
    /// Most in all.
    most: usize,
    /// Most for one peer.
    most_of_one: usize,
    /// Whether this machine's own clients are counted too: it is a proxy, as a rule.
    loopback: bool,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    /// Without those that have none.
    of: HashMap<IpAddr, usize>,
}

/// The place of one connection, until it is dropped.
pub(crate) struct Place {
    places: Arc<Places>,
    peer: Option<IpAddr>,
}

/// Of what there is none left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scarce {
    /// Places in all.
    Places,
    /// Places for this peer.
    PlacesOf(IpAddr),
}

impl Places {
    /// `most_of_one` is what was asked for; without it a peer from elsewhere may take three quarters.
    pub(crate) fn new(most: usize, most_of_one: Option<usize>) -> Arc<Self> {
        Arc::new(Places {
            most,
            most_of_one: most_of_one.unwrap_or(most - most / 4),
            loopback: most_of_one.is_some(),
            taken: Mutex::default(),
        })
    }

    /// How many there are in all.
    pub(crate) fn most(&self) -> usize {
        self.most
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place for a connection from this address, if it has one.
    pub(crate) fn take(self: &Arc<Self>, address: Option<IpAddr>) -> Result<Place, Scarce> {
        let peer = address
            .map(peer)
            .filter(|peer| self.loopback || !peer.is_loopback());
        let mut taken = self.taken();
        // First: who may have no more is helped by no place of others.
        if let Some(peer) = peer
            && taken
                .of
                .get(&peer)
                .is_some_and(|of_peer| *of_peer >= self.most_of_one)
        {
            return Err(Scarce::PlacesOf(peer));
        }
        if taken.all >= self.most {
            return Err(Scarce::Places);
        }
        if let Some(peer) = peer {
            *taken.of.entry(peer).or_insert(0) += 1;
        }
        // After all that may refuse: a refused client has taken nothing.
        taken.all += 1;
        drop(taken);
        Ok(Place {
            places: self.clone(),
            peer,
        })
    }
}

impl Place {
    /// Who has it; none for a peer without an address of its own.
    pub(crate) fn peer(&self) -> Option<IpAddr> {
        self.peer
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        taken.all -= 1;
        if let Some(peer) = self.peer
            && let Some(of_peer) = taken.of.get_mut(&peer)
        {
            *of_peer -= 1;
            // Addresses are as many as an attacker likes: none is remembered after its last connection.
            if *of_peer == 0 {
                taken.of.remove(&peer);
            }
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place")
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

/// Who an address belongs to: whoever has one of IPv6 has the 2^64 around it too.
fn peer(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => {
            let network = address.to_bits() >> 64 << 64;
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn a_peer_takes_three_quarters_at_most_and_others_have_the_rest() {
        let places = Places::new(8, None);
        let one: Vec<Place> = (0..6)
            .map(|_| places.take(address("192.0.2.1")).unwrap())
            .collect();
        assert_eq!(
            places.take(address("192.0.2.1")).unwrap_err(),
            Scarce::PlacesOf("192.0.2.1".parse().unwrap())
        );
        let other = (
            places.take(address("192.0.2.2")).unwrap(),
            places.take(None).unwrap(),
        );
        assert_eq!(
            places.take(address("192.0.2.3")).unwrap_err(),
            Scarce::Places
        );
        drop(one);
        let six: Vec<_> = (0..6)
            .map(|_| places.take(address("192.0.2.1")).unwrap())
            .collect();
        drop((six, other));
        let taken = places.taken();
        assert_eq!(
            (taken.all, taken.of.len()),
            (0, 0),
            "nothing is kept of who has left"
        );
    }

    #[test]
    fn who_has_all_it_may_is_told_so_though_all_places_are_taken() {
        let places = Places::new(2, Some(1));
        let _both = [
            places.take(address("192.0.2.1")).unwrap(),
            places.take(address("192.0.2.2")).unwrap(),
        ];
        let scarce = Scarce::PlacesOf("192.0.2.1".parse().unwrap());
        assert_eq!(places.take(address("192.0.2.1")).unwrap_err(), scarce);
        assert_eq!(
            places.take(address("192.0.2.3")).unwrap_err(),
            Scarce::Places
        );
        assert_eq!(
            places.taken().of.len(),
            2,
            "nothing is kept of who was not let in"
        );
    }

    #[test]
    fn a_proxy_on_the_same_machine_may_take_all_unless_it_was_said_how_many() {
        let places = Places::new(4, None);
        let all: Vec<_> = ["127.0.0.1", "127.0.0.1", "::1", "::1"]
            .map(|text| places.take(address(text)).unwrap())
            .into();
        assert_eq!(places.take(None).unwrap_err(), Scarce::Places);
        drop(all);
        let places = Places::new(4, Some(1));
        let _one = places.take(address("127.0.0.1")).unwrap();
        assert!(places.take(address("::ffff:127.0.0.1")).is_err());
    }

    #[test]
    fn a_network_of_ipv6_is_one_peer() {
        let places = Places::new(8, Some(1));
        let _one = places.take(address("2001:db8::1")).unwrap();
        assert!(places.take(address("2001:db8::2")).is_err());
        assert!(places.take(address("2001:db8:0:1::1")).is_ok());
    }
}
