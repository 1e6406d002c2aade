import Gemma4
import Synchronization
import Tensors

/// One picture, one frame of a film or one piece of a recording on its way through its tower.
///
/// A class: prompts of one conversation share it, and what the tower has made of it is kept for as long as any of them
/// lives. Once encoded, the content itself is let go.
package final class EncoderInput: Sendable {
    package enum Content: Sendable {
        case image(ImagePatches)
        /// What `SoundFeatures` makes of a recording, row-major.
        case sound([Float])
    }

    package let hash: ContentHash
    package let softTokenCount: Int
    /// Whether it is a picture or a frame.
    let isImage: Bool
    private let state: Mutex<State>

    private enum State: Sendable {
        case content(Content)
        case encoded(Tensor)
    }

    package init(_ patches: ImagePatches) {
        hash = ContentHash(kind: "image", dimensions: [patches.grid.columns, patches.grid.rows], patches.values)
        softTokenCount = patches.softTokenCount
        isImage = true
        state = Mutex(.content(.image(patches)))
    }

    /// One piece of a recording.
    ///
    /// - Parameter samples: mono, at 16 kHz.
    /// - Throws: `MelSpectrogramError` if a sound encoder does not take a recording of that length.
    package init(_ features: SoundFeatures, samples: [Float]) throws(MelSpectrogramError) {
        let frames = try features(samples)
        hash = ContentHash(kind: "sound", dimensions: [], frames)
        softTokenCount = features.softTokenCount(samples: samples.count)
        isImage = false
        state = Mutex(.content(.sound(frames)))
    }

    /// Its soft tokens, `[softTokenCount, hiddenSize]`; nil until it has been through its tower.
    package var softTokens: Tensor? {
        state.withLock { if case .encoded(let tensor) = $0 { tensor } else { nil } }
    }

    /// What the tower reads; nil once it has been read.
    var content: Content? {
        state.withLock { if case .content(let content) = $0 { content } else { nil } }
    }

    func finish(_ softTokens: Tensor) { state.withLock { $0 = .encoded(softTokens) } }
}
