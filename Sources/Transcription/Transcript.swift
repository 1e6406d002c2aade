import Generation
import Media

/// What was said in one piece of a recording.
public struct TranscriptSegment: Sendable {
    /// In seconds of the recording.
    public let start, end: Double
    /// The transcript, or its translation; nothing if the model heard nothing.
    public internal(set) var text: String
    /// What was said, where `text` is a translation.
    public internal(set) var heard: String?
    /// Counted from 0; nil where channels are mixed.
    public let channel: Int?
    /// The answer as the model gave it, before repetition and doubled words were taken out.
    public let answer: Answer
    /// The share of the piece in which no speech was detected.
    public let noSpeech: Double
    /// Whether speech was detected, but the model wrote nothing, also when asked again.
    public internal(set) var isUnanswered = false
    /// When something is said within it, in seconds of the recording, pauses left out.
    public var stretches: [Range<Double>] = []

    /// The mean of the answer's log-probabilities.
    public var averageLogprob: Double {
        answer.logprobs.reduce(0) { $0 + Double($1) } / Double(max(1, answer.logprobs.count))
    }
}

/// What became of a recording, in seconds. Of channels that are kept apart, the sum.
public struct TranscriptReport: Sendable, Equatable {
    /// Read from the recording.
    public internal(set) var read = 0.0
    /// Given to the model.
    public internal(set) var heard = 0.0
    /// Left out: silence and steady noise.
    public internal(set) var skipped = 0.0
    /// Channels without any speech, counted from 0, where channels are kept apart.
    public internal(set) var silentChannels: [Int] = []
    /// Not reached, because the work was stopped.
    public internal(set) var unreached = 0.0
    /// Where the work was stopped, in seconds of the recording; nil at its end. To go on, start there.
    public internal(set) var stoppedAt: Double?
    /// Of the recording, or of the part of it that was asked for.
    public internal(set) var duration = 0.0
    public internal(set) var channels = 0
    public internal(set) var segments = 0
    /// Segments whose answer was cut at the most tokens, and that went round in a circle.
    public internal(set) var cutSegments = 0
    public internal(set) var repeatingSegments = 0
    /// Segments in which speech was detected, but for which the model wrote nothing.
    public internal(set) var unansweredSegments = 0
    public internal(set) var statistics = GenerationStatistics()

    /// Neither heard nor left out: what is damaged or missing in the file.
    public var lost: Double {
        let lost = read - heard - skipped - unreached
        return abs(lost) < 1e-6 ? 0 : lost
    }
}

/// What happens while a recording is transcribed.
public enum TranscriptEvent: Sendable {
    /// The model begins to listen at this second of the recording; what the whole lasts, if that is known.
    case progress(at: Double, of: Double?)
    /// Something that a user should know of the recording.
    case notice(MediaNotice)
    /// Segments of a channel come in order.
    case segment(TranscriptSegment)
    /// The last event, unless an error follows it.
    case end(TranscriptReport)
}

/// A transcript as it comes. Leaving the loop ends the work; `cancel()` ends it with what has been heard.
public typealias TranscriptStream = ResultStream<TranscriptEvent>

extension ResultStream where Element == TranscriptEvent {
    /// Ends the work early: the loop still gets the segments that were answered, and the report, whose `stoppedAt` says
    /// where to go on.
    public func cancel() { cancelProducer() }

    /// Waits for the whole transcript.
    public func transcript() async throws -> Transcript {
        var transcript = Transcript()
        for try await event in self { transcript.append(event) }
        try Task.checkCancellation()
        return transcript
    }
}

/// A whole transcript.
public struct Transcript: Sendable {
    public private(set) var segments: [TranscriptSegment] = []
    public private(set) var report = TranscriptReport()

    public init() {}

    public mutating func append(_ event: TranscriptEvent) {
        switch event {
        case .progress, .notice: break
        case .segment(let segment): segments.append(segment)
        case .end(let report): self.report = report
        }
    }

    /// All segments in one line.
    public var text: String { segments.reduce("") { Seam.concatenate($0, $1.text) } }
    /// What was said, where the segments are translations.
    public var heard: String { segments.reduce("") { Seam.concatenate($0, $1.heard ?? $1.text) } }
}
