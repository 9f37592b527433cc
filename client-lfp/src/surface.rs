//! The surface that the client shows: state, epoch, picture.

use lfp_proto::frame::{Surface as SurfaceFrame, SurfaceState};
use lfp_proto::geometry::Size;
use lfp_proto::units::{Epoch, SurfaceId};

use crate::framebuffer::{Framebuffer, Picture};

/// What a surface shows, in values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SurfaceView<'a> {
    /// Which.
    pub surface: SurfaceId,
    /// Its epoch.
    pub epoch: Epoch,
    /// What it shows.
    pub state: SurfaceState,
    /// Its size, if it is live.
    pub size: Option<Size>,
    /// The state in words; may be empty.
    pub text: &'a str,
}

/// The one surface that this client shows: the first that the server names. Records of others are refused.
#[derive(Clone, Debug)]
pub(crate) struct Surface {
    id: SurfaceId,
    epoch: Epoch,
    state: SurfaceState,
    text: String,
    /// The picture of this epoch, or of the last live one.
    framebuffer: Option<Framebuffer>,
    /// How many references are kept of each picture.
    references: u8,
}

impl Surface {
    /// The surface that `frame` names; of its pictures at most `references` references are kept.
    pub(crate) fn new(frame: &SurfaceFrame<'_>, references: u8) -> Self {
        let mut surface = Self {
            id: frame.surface,
            epoch: Epoch(0),
            state: SurfaceState::Connecting,
            text: String::new(),
            framebuffer: None,
            references,
        };
        surface.update(frame);
        surface
    }

    /// Takes over a new epoch; says whether `frame` started one.
    pub(crate) fn update(&mut self, frame: &SurfaceFrame<'_>) -> bool {
        // SPEC [LFP-7.2]: A client MUST ignore a SURFACE whose epoch is not larger than the surface's.
        if frame.surface != self.id || frame.epoch <= self.epoch {
            return false;
        }
        self.epoch = frame.epoch;
        self.state = frame.state;
        self.text = frame.text.into();
        // SPEC [LFP-7.3]: On a larger epoch a client MUST forget the contents of all cells of the surface: each shows
        // content 0, and none is a base. Its references and its cache are gone.
        if let Some(size) = frame.size {
            // The old picture goes first, so that there are never two.
            self.framebuffer = None;
            self.framebuffer = Some(Framebuffer::new(size, frame.epoch, self.references));
        }
        true
    }

    pub(crate) const fn id(&self) -> SurfaceId {
        self.id
    }

    pub(crate) const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The picture of this epoch, if the surface is live.
    pub(crate) fn live(&self) -> Option<&Framebuffer> {
        self.framebuffer.as_ref().filter(|_| self.state == SurfaceState::Live)
    }

    /// The picture of this epoch, if the surface is live.
    pub(crate) fn live_mut(&mut self) -> Option<&mut Framebuffer> {
        self.framebuffer.as_mut().filter(|_| self.state == SurfaceState::Live)
    }

    /// The picture of this or the last live epoch.
    pub(crate) const fn last(&self) -> Option<&Framebuffer> {
        self.framebuffer.as_ref()
    }

    /// The picture of this or the last live epoch.
    pub(crate) fn last_mut(&mut self) -> Option<&mut Framebuffer> {
        self.framebuffer.as_mut()
    }

    pub(crate) fn picture(&self) -> Option<Picture<'_>> {
        let live = self.state == SurfaceState::Live;
        self.framebuffer.as_ref().map(|framebuffer| framebuffer.picture(live))
    }

    pub(crate) fn view(&self) -> SurfaceView<'_> {
        SurfaceView {
            surface: self.id,
            epoch: self.epoch,
            state: self.state,
            size: self.live().map(Framebuffer::size),
            text: &self.text,
        }
    }
}
