//! How options are made: from their defaults, with changes. So a field can be added in any version.

/// Gives a structure the method `with`.
#[doc(hidden)]
#[macro_export]
macro_rules! with_changes {
    ($options:ident) => {
        impl $options {
            /// The same, with changes to its fields.
            #[must_use]
            pub fn with(mut self, change: impl FnOnce(&mut $options)) -> $options {
                change(&mut self);
                self
            }
        }
    };
}
