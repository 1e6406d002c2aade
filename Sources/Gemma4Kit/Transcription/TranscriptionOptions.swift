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
    /// Ends the work early, with what there is.
    public var stop: StopSignal?

    public init(
        language: Language? = nil, translation: Language? = nil, hint: String? = nil, instruction: String? = nil,
        channels: AudioChannels = .mix, track: SoundTrack? = nil, detectsSpeech: Bool = true,
        offsetInSeconds: Double = 0, durationInSeconds: Double? = nil,
        segmentation: SpeechSegmenter.Options? = nil,
        generation: GenerationOptions = .init(loopGuard: .transcript), stop: StopSignal? = nil
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
        self.stop = stop
    }
}

/// A wish to stop, which anyone may set, a signal handler's queue say.
public final class StopSignal: Sendable {
    private let flag = Atomic(false)

    public init() {}

    public var isSet: Bool { flag.load(ordering: .relaxed) }
    public func set() { flag.store(true, ordering: .relaxed) }
}
