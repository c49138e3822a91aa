//! A mailbox as its sessions see it, on real files.

mod changes;
mod durability;
mod fixture;
mod folders;
mod messages;
mod model_test;
mod search;
