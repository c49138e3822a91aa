//! Whether the objects of one database follow each other: a decision about headers alone.

use std::collections::HashMap;

use crate::format::{BaseHeader, Damage, DataFile, Fault, Manifest, SegmentHeader, Sha256};

/// The headers of one database, each with its object's key and its hash.
#[derive(Debug)]
pub struct Chain {
    /// Which database.
    pub file: DataFile,
    /// By life and frame.
    pub bases: Vec<(String, Sha256, BaseHeader)>,
    /// By life, first and last frame.
    pub segments: Vec<(String, Sha256, SegmentHeader)>,
}

/// What a header can name as its predecessor.
#[derive(Clone, Copy)]
enum Before<'a> {
    Base(&'a BaseHeader),
    Segment(&'a SegmentHeader),
}

impl Chain {
    /// Segments that do not follow what they name, or name what is not there; and what `manifest` lists and is not there.
    pub fn damages(&self, manifest: Option<&Manifest>, manifest_key: &str) -> Vec<Damage> {
        let bases = self.bases.iter().map(|(_, hash, base)| (*hash, Before::Base(base)));
        let segments = self.segments.iter().map(|(_, hash, segment)| (*hash, Before::Segment(segment)));
        let known: HashMap<Sha256, Before<'_>> = bases.chain(segments).collect();
        let mut damages: Vec<Damage> = self
            .segments
            .iter()
            .filter_map(|(key, _, segment)| self.link(segment, &known).map(|fault| fault.of(key)))
            .collect();
        damages.extend(self.bases.iter().filter_map(|(key, _, base)| self.served(base).map(|fault| fault.of(key))));
        if let Some(manifest) = manifest {
            damages.extend(self.unlisted(manifest, manifest_key, &known));
        }
        damages
    }

    fn link(&self, segment: &SegmentHeader, known: &HashMap<Sha256, Before<'_>>) -> Option<Fault> {
        let first = segment.commits.first().map_or(0, |point| point.commit);
        let fault = |what: &str| Some(Fault::Link(what.to_owned()));
        match known.get(&segment.previous) {
            Some(Before::Segment(before)) => {
                let same = before.epoch == segment.epoch;
                let follows = before.last.checked_add(1) == Some(segment.first)
                    && (before.salts, before.checksum_after) == (segment.salts, segment.checksum_before);
                let begins = before.epoch < segment.epoch && segment.first == 1;
                let numbered = before.commits.last().is_some_and(|point| point.commit + 1 == first);
                if numbered && (if same { follows } else { begins }) { None } else { fault("the segment it names") }
            }
            // The first of a timeline, or behind a gap.
            Some(Before::Base(base)) => {
                let numbered = base.frame > 0 || base.commit + 1 == first;
                if base.epoch <= segment.epoch && numbered { None } else { fault("the base it names") }
            }
            None if self.is_oldest(segment) => None,
            None => fault(&self.missing(segment)),
        }
    }

    /// What should be before a segment and is not.
    fn missing(&self, segment: &SegmentHeader) -> String {
        let before = self.segments.iter().map(|(.., before)| before).filter(|before| before.epoch == segment.epoch);
        let last = before.map(|before| before.last).filter(|last| *last < segment.first).max().unwrap_or_default();
        match segment.first {
            1 => "any object: the one before its life is missing".to_owned(),
            first => format!("any object: frames {} to {} of life {} are missing", last + 1, first - 1, segment.epoch),
        }
    }

    /// What is older than all that can be restored was removed, and rightly.
    fn is_oldest(&self, segment: &SegmentHeader) -> bool {
        let oldest = self.bases.iter().map(|(_, _, base)| base.epoch).min();
        oldest.is_none_or(|epoch| (segment.epoch, segment.first) <= (epoch, 1))
    }

    /// A base serves only with the frames of its life up to its own.
    fn served(&self, base: &BaseHeader) -> Option<Fault> {
        let mut at = 0;
        for (_, _, segment) in self.segments.iter().filter(|(_, _, segment)| segment.epoch == base.epoch) {
            if segment.first <= at + 1 {
                at = at.max(segment.last);
            }
        }
        if at < base.frame {
            return Some(Fault::Link(format!("the frames of its life up to {}, which are missing", base.frame)));
        }
        let there = self.segments.iter().find_map(|(_, _, segment)| {
            let same = segment.epoch == base.epoch;
            same.then(|| segment.commits.iter().find(|point| point.frame == base.frame)).flatten()
        });
        if base.frame > 0 && there.is_none_or(|point| point.commit != base.commit) {
            return Some(Fault::Link("the commit it names".to_owned()));
        }
        None
    }

    fn unlisted(&self, manifest: &Manifest, key: &str, known: &HashMap<Sha256, Before<'_>>) -> Vec<Damage> {
        let database = self.file.database();
        let missing = |what: String| Fault::Link(format!("{what}, which is missing")).of(key);
        let bases = manifest.bases.iter().filter(|base| base.database == database);
        let bases = bases.filter(|base| !matches!(known.get(&base.header), Some(Before::Base(_))));
        let mut damages: Vec<Damage> =
            bases.map(|base| missing(format!("the base of commit {} in {}", base.commit, database.name()))).collect();
        let behind = |commit: u64| self.bases.iter().any(|(_, _, base)| base.frame == 0 && base.commit >= commit);
        let heads = manifest.heads.iter().filter(|head| head.database == database && head.frame > 0);
        let heads = heads.filter(|head| !known.contains_key(&head.header) && !behind(head.commit));
        damages
            .extend(heads.map(|head| missing(format!("the segment of commit {} in {}", head.commit, database.name()))));
        damages
    }
}
