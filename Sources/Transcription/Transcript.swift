import Generation
import Media

/// The transcript of one piece of a recording.
public struct TranscriptSegment: Sendable {
    /// Times in seconds of the recording.
    public let start, end: Double
    /// The transcript, or its translation; empty if the model recognized nothing.
    public internal(set) var text: String
    /// The transcript, if `text` is a translation.
    public internal(set) var heard: String?
    /// Index of the channel, from 0; nil if channels are mixed.
    public let channel: Int?
    /// The model's answer, before repetitions and overlapping words were removed.
    public let answer: Answer
    /// The fraction of the piece in which no speech was detected.
    public let noSpeech: Double
    /// Whether speech was detected, but the model answered nothing, even after a retry.
    public internal(set) var isUnanswered = false
    /// Ranges of speech within the segment without pauses, in seconds of the recording.
    public var stretches: [Range<Double>] = []

    /// The mean of the answer's log-probabilities.
    public var averageLogprob: Double {
        answer.logprobs.reduce(0) { $0 + Double($1) } / Double(max(1, answer.logprobs.count))
    }
}

/// How the seconds of a recording were processed. Sums over the channels if they are kept apart.
public struct TranscriptReport: Sendable, Equatable {
    /// Read from the recording.
    public internal(set) var read = 0.0
    /// Passed to the model.
    public internal(set) var heard = 0.0
    /// Skipped: silence and steady noise.
    public internal(set) var skipped = 0.0
    /// Indices of channels without speech, from 0, if channels are kept apart.
    public internal(set) var silentChannels: [Int] = []
    /// Not reached, because the work was stopped.
    public internal(set) var unreached = 0.0
    /// Where the work was stopped, in seconds of the recording; nil if it was not. To continue, start there.
    public internal(set) var stoppedAt: Double?
    /// Duration of the recording, or of its requested range.
    public internal(set) var duration = 0.0
    /// Channels that were heard.
    public internal(set) var channels = 0
    /// Segments of speech.
    public internal(set) var segments = 0
    /// Segments whose answer reached the token limit, and those stopped because they repeated themselves.
    public internal(set) var cutSegments = 0
    /// Segments whose answer repeated itself and was ended.
    public internal(set) var repeatingSegments = 0
    /// Segments in which speech was detected, but the model answered nothing.
    public internal(set) var unansweredSegments = 0
    /// Tokens and seconds of all answers.
    public internal(set) var statistics = GenerationStatistics()

    /// Neither heard nor skipped: damaged or missing in the file.
    public var lost: Double {
        let lost = read - heard - skipped - unreached
        return abs(lost) < 1e-6 ? 0 : lost
    }
}

/// Progress and results of a transcription.
public enum TranscriptEvent: Sendable {
    /// The model starts at this second of the recording; `of` is the total duration, if known.
    case progress(at: Double, of: Double?)
    /// A message to the user about the recording.
    case notice(MediaNotice)
    /// The segments of a channel arrive in order.
    case segment(TranscriptSegment)
    /// The last event, unless an error is thrown after it.
    case end(TranscriptReport)
}

/// A transcript as a stream. Leaving the loop cancels the work; `cancel()` stops it and keeps the results so far.
public typealias TranscriptStream = ResultStream<TranscriptEvent>

extension ResultStream where Element == TranscriptEvent {
    /// Stops the work early: the loop still receives the segments that were answered, and the report, whose `stoppedAt`
    /// says where to continue.
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
    /// The segments in the order of their beginnings.
    public private(set) var segments: [TranscriptSegment] = []
    /// What was read, skipped and measured.
    public private(set) var report = TranscriptReport()

    /// A transcript without segments.
    public init() {}

    /// Adds the next event of a stream.
    public mutating func append(_ event: TranscriptEvent) {
        switch event {
        case .progress, .notice: break
        case .segment(let segment): segments.append(segment)
        case .end(let report): self.report = report
        }
    }

    /// The texts of all segments on one line.
    public var text: String { segments.reduce("") { Seam.concatenate($0, $1.text) } }
    /// The transcript, if the segments are translations.
    public var heard: String { segments.reduce("") { Seam.concatenate($0, $1.heard ?? $1.text) } }
}
