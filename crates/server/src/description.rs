//! The OpenAPI schemas of what a route takes and gives.

use utoipa::openapi::schema::{ObjectBuilder, Schema};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

pub(crate) type Schemas = Vec<(String, RefOr<Schema>)>;

/// What a route takes and gives.
#[derive(Clone, Copy)]
pub(crate) struct Described {
    pub(crate) takes: Shape,
    pub(crate) gives: Shape,
    pub(crate) status: u16,
}

/// A schema by its name.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) name: fn() -> std::borrow::Cow<'static, str>,
    pub(crate) schema: fn() -> RefOr<Schema>,
    pub(crate) others: fn(&mut Schemas),
}

impl Shape {
    fn of<T: ToSchema>() -> Shape {
        Shape { name: T::name, schema: T::schema, others: T::schemas }
    }

    pub(crate) fn reference(self) -> Ref {
        Ref::from_schema_name((self.name)())
    }
}

/// The schema of no body.
pub(crate) struct NoBody;

impl PartialSchema for NoBody {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new().into()
    }
}

impl ToSchema for NoBody {}

/// A route that takes a `T` and gives a `G`.
pub(crate) fn described<T: ToSchema, G: ToSchema>(status: u16) -> Described {
    Described { takes: Shape::of::<T>(), gives: Shape::of::<G>(), status }
}
