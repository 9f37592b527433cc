//! The private ports by which appliances have guests.
