//! Values of a type that is only known to the caller, for whom some types are better known than others.

use std::any::Any;

/// The value as a `T`, if it is one; else itself.
pub(crate) fn try_downcast<T: 'static, V: 'static>(value: V) -> Result<T, V> {
    let mut value = Some(value);
    let same = (&mut value as &mut dyn Any).downcast_mut::<Option<T>>();
    match (same.and_then(Option::take), value) {
        (Some(same), _) => Ok(same),
        (None, Some(value)) => Err(value),
        (None, None) => unreachable!("what was not taken is there"),
    }
}
