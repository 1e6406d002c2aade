import Synchronization

/// How a recording is transcribed.
public struct TranscriptionOptions: Sendable {
    /// What is spoken; nil if it is not known.
    public var language: Language?
    /// The language to translate into; nil transcribes.
    public var translation: Language?
    /// Names and words that may occur, as they are spelt.
    public var hint: String?
    /// What the model is told instead of Google's words.
    public var instruction: String?
    /// What becomes of several channels; those that are kept apart have segments of their own.
    public var channels: AudioChannels
    /// Which of several sound tracks; nil: the one that the file marks, or its first.
    public var track: SoundTrack?
    /// Whether only speech is heard; otherwise silence and noise are too.
    public var detectsSpeech: Bool
    /// Only this part of the recording; times count from the beginning of the whole.
    public var offsetInSeconds: Double
    public var durationInSeconds: Double?
    /// Where pieces are cut; nil: as it suits recordings, or live sound.
    public var segmentation: SpeechSegmenter.Options?
    /// How the answer about each piece is made.
    public var generation: GenerationOptions
    /// Pieces of the recording that are asked about at once; the transcript is the same for every number. Live sound is
    /// answered piece by piece.
    public var parallelPieces: Int
    /// Ends the work early, with what there is.
    public var stop: StopSignal?

    public init(
        language: Language? = nil, translation: Language? = nil, hint: String? = nil, instruction: String? = nil,
        channels: AudioChannels = .mix, track: SoundTrack? = nil, detectsSpeech: Bool = true,
        offsetInSeconds: Double = 0, durationInSeconds: Double? = nil,
        segmentation: SpeechSegmenter.Options? = nil,
        generation: GenerationOptions = .init(sampling: .greedy, loopGuard: .transcript), parallelPieces: Int = 8,
        stop: StopSignal? = nil
    ) {
        self.language = language
        self.translation = translation
        self.hint = hint
        self.instruction = instruction
        self.channels = channels
        self.track = track
        self.detectsSpeech = detectsSpeech
        self.offsetInSeconds = offsetInSeconds
        self.durationInSeconds = durationInSeconds
        self.segmentation = segmentation
        self.generation = generation
        self.parallelPieces = parallelPieces
        self.stop = stop
    }
}

/// A wish to stop, which anyone may set, for example the queue of a signal handler.
public final class StopSignal: Sendable {
    private let state = Mutex((isSet: false, handlers: [@Sendable () -> Void]()))

    public init() {}

    public var isSet: Bool { state.withLock { $0.isSet } }

    public func set() {
        let handlers = state.withLock { state in
            defer { state = (true, []) }
            return state.handlers
        }
        for handler in handlers { handler() }
    }

    /// Calls `body` once it is set; at once if it is.
    func onSet(_ body: @escaping @Sendable () -> Void) {
        let isSet = state.withLock { state in
            if !state.isSet { state.handlers.append(body) }
            return state.isSet
        }
        if isSet { body() }
    }
}
