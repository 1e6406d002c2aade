import Generation
import Media

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
    /// Longest piece that is asked about at once, 2 to 30; by default 28, and 10 of live sound.
    public var maxSegmentInSeconds: Double?
    /// How the answer about each piece is made.
    public var generation: GenerationOptions
    /// Pieces of the recording that are asked about at once; the transcript is the same for every number. Live sound is
    /// answered piece by piece.
    public var parallelPieces: Int

    public init(
        language: Language? = nil, translation: Language? = nil, hint: String? = nil, instruction: String? = nil,
        channels: AudioChannels = .mix, track: SoundTrack? = nil, detectsSpeech: Bool = true,
        offsetInSeconds: Double = 0, durationInSeconds: Double? = nil,
        maxSegmentInSeconds: Double? = nil,
        generation: GenerationOptions = .init(sampling: .greedy, loopGuard: .transcript), parallelPieces: Int = 8
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
        self.maxSegmentInSeconds = maxSegmentInSeconds
        self.generation = generation
        self.parallelPieces = parallelPieces
    }
}
