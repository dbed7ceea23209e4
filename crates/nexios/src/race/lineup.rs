//! A list with holes; a few things lie in it directly, more of them on the heap.

/// So many things need no allocation.
const FEW: usize = 4;

#[derive(Debug)]
pub(super) enum Lineup<C> {
    /// The first `usize` places are in use.
    Few([Option<C>; FEW], usize),
    Many(Vec<Option<C>>),
}

impl<C> Lineup<C> {
    /// A list of so many holes.
    pub(super) fn of_holes(length: usize) -> Self {
        if length <= FEW {
            Self::Few([const { None }; FEW], length)
        } else {
            Self::Many(std::iter::repeat_with(|| None).take(length).collect())
        }
    }

    pub(super) fn places(&self) -> &[Option<C>] {
        match self {
            Self::Few(places, length) => &places[..*length],
            Self::Many(places) => places,
        }
    }

    pub(super) fn places_mut(&mut self) -> &mut [Option<C>] {
        match self {
            Self::Few(places, length) => &mut places[..*length],
            Self::Many(places) => places,
        }
    }
}

impl<C> FromIterator<C> for Lineup<C> {
    fn from_iter<I: IntoIterator<Item = C>>(items: I) -> Self {
        let mut items = items.into_iter();
        let mut few = [const { None }; FEW];
        for length in 0..FEW {
            few[length] = items.next();
            if few[length].is_none() {
                return Self::Few(few, length);
            }
        }
        let Some(next) = items.next() else {
            return Self::Few(few, FEW);
        };
        let mut many = Vec::with_capacity((FEW + 1).saturating_add(items.size_hint().0));
        many.extend(few);
        many.push(Some(next));
        many.extend(items.map(Some));
        Self::Many(many)
    }
}
