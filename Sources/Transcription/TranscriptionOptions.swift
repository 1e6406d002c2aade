import Generation
import Media

/// How a recording is transcribed.
public struct TranscriptionOptions: Sendable {
    /// The spoken language; nil if unknown.
    public var language: Language?
    /// The language to translate into; nil transcribes.
    public var translation: Language?
    /// Names and words that may occur, in their spelling.
    public var hint: String?
    /// A custom instruction that replaces Google's.
    public var instruction: String?
    /// How channels are processed; channels kept apart have their own segments.
    public var channels: AudioChannels
    /// One of several audio tracks; nil: the file's default track, or its first.
    public var track: SoundTrack?
    /// Whether only speech is passed to the model; otherwise silence and noise are too.
    public var detectsSpeech: Bool
    /// Restricts the transcript to a range; times still count from the beginning of the recording.
    public var offsetInSeconds: Double
    /// Seconds after the offset that are heard; nil: to the end.
    public var durationInSeconds: Double?
    /// Maximum length of a piece, 2 to 30; by default 28, and 10 for live sound.
    public var maxSegmentInSeconds: Double?
    /// Generation options for each piece.
    public var generation: GenerationOptions
    /// Number of pieces processed concurrently; the transcript does not depend on it. Live sound is processed piece by
    /// piece.
    public var parallelPieces: Int

    /// Options of a transcription; every one has a default.
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
