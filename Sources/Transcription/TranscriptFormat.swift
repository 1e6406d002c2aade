import Foundation
import JSONText

/// File format of a transcript.
public enum TranscriptFormat: String, Sendable, CaseIterable {
    /// One segment per line.
    case txt
    /// SubRip subtitles.
    case srt
    /// WebVTT subtitles, https://www.w3.org/TR/webvtt1.
    case vtt
    /// OpenAI's `verbose_json`, https://platform.openai.com/docs/api-reference/audio/verbose-json-object, on one line.
    case json
    /// Start and end in milliseconds and the text, like openai/whisper's `WriteTSV`.
    case tsv

    /// Whether segments can be written before the last is known.
    public var isStreamable: Bool { self != .json }
}

/// Writes a transcript, segment by segment. Omits segments without text, except in JSON.
public struct TranscriptWriter: Sendable {
    /// The format that is written.
    public let format: TranscriptFormat
    /// For `srt` and `vtt`.
    public let layout: SubtitleLayout
    private var cues = 0

    /// A writer of one transcript.
    public init(_ format: TranscriptFormat, _ layout: SubtitleLayout = .init()) {
        (self.format, self.layout) = (format, layout)
    }

    /// The text before the first segment.
    public var begin: String {
        switch format {
        case .txt, .srt, .json: ""
        case .vtt: "WEBVTT\n\n"
        case .tsv: "start\tend\ttext\n"
        }
    }

    /// One segment; empty in JSON.
    public mutating func write(_ segment: TranscriptSegment) -> String {
        guard !segment.text.isEmpty else { return "" }
        let label = segment.channel.map { "[\($0 + 1)] " } ?? ""
        switch format {
        case .json: return ""
        case .txt: return "\(label)\(segment.text)\n"
        case .srt:
            return layout.cues(of: segment, label: label).reduce("") { text, cue in
                cues += 1
                return text + "\(cues)\n\(Self.times(cue, ","))\n\(cue.lines.joined(separator: "\n"))\n\n"
            }
        case .vtt:
            let voice = segment.channel.map { "<v Channel \($0 + 1)>" } ?? ""
            return layout.cues(of: segment).reduce("") { text, cue in
                let lines = cue.lines.joined(separator: "\n").replacing("&", with: "&amp;")
                    .replacing("<", with: "&lt;").replacing(">", with: "&gt;")
                return text + "\(Self.times(cue, "."))\n\(voice)\(lines)\n\n"
            }
        case .tsv:
            let (start, end) = (Self.milliseconds(segment.start), Self.milliseconds(segment.end))
            return "\(start)\t\(end)\t\(label)\(segment.text.replacing("\t", with: " "))\n"
        }
    }

    /// A whole transcript.
    ///
    /// - Parameters:
    ///   - context: further members of the JSON object; ignored in other formats.
    public static func whole(_ transcript: Transcript, _ format: TranscriptFormat, _ context: TranscriptContext)
        -> String
    {
        if format == .json { return context.object(transcript).json + "\n" }
        var writer = TranscriptWriter(format, context.layout)
        return transcript.segments.reduce(writer.begin) { $0 + writer.write($1) }
    }

    private static func times(_ cue: SubtitleCue, _ point: String) -> String {
        "\(clock(milliseconds(cue.start), point)) --> \(clock(milliseconds(cue.end), point))"
    }

    private static func milliseconds(_ seconds: Double) -> Int { Int((seconds * 1000).rounded()) }

    /// `hh:mm:ss,mmm`.
    private static func clock(_ milliseconds: Int, _ point: String) -> String {
        let seconds = milliseconds / 1000
        let parts = [seconds / 3600, seconds / 60 % 60, seconds % 60].map { String(format: "%02d", $0) }
        return parts.joined(separator: ":") + point + String(format: "%03d", milliseconds % 1000)
    }
}

/// Metadata of a transcript.
public struct TranscriptContext: Sendable {
    /// The options that it was made with.
    public var options: TranscriptionOptions
    /// The name of the recording; nil if it has none.
    public var file: String?
    /// For subtitles.
    public var layout = SubtitleLayout()
    /// A prompt about the whole transcript, and the answer.
    public var question: (prompt: String, answer: String)?

    /// What is said about a transcript besides its segments.
    public init(_ options: TranscriptionOptions, file: String? = nil) {
        self.options = options
        self.file = file
    }

    /// The members of `verbose_json`, then ours: the file, `source_text`, and the seconds heard, skipped and lost.
    func object(_ transcript: Transcript) -> JSONValue {
        let isTranslation = options.translation != nil
        let language = options.translation ?? options.language
        var members: [JSONValue.Member] = [
            .init("task", isTranslation ? "translate" : "transcribe"),
            .init("language", language.map { .string($0.name.lowercased()) } ?? nil),
            .init("duration", Self.rounded(transcript.report.duration)),
            .init("text", .string(transcript.text)),
            .init("segments", .array(transcript.segments.enumerated().map { object($0.offset, $0.element) })),
        ]
        if isTranslation { members.append(.init("source_text", .string(transcript.heard))) }
        if let question {
            members.append(.init("then", ["prompt": .string(question.prompt), "text": .string(question.answer)]))
        }
        if let file { members.append(.init("file", .string(file))) }
        let report = transcript.report
        members += [
            .init("heard", Self.rounded(report.heard)), .init("skipped", Self.rounded(report.skipped)),
            .init("lost", Self.rounded(report.lost)),
        ]
        if !report.silentChannels.isEmpty {
            members.append(.init("silent_channels", .array(report.silentChannels.map { .integer($0 + 1) })))
        }
        if let stoppedAt = report.stoppedAt { members.append(.init("stopped_at", Self.rounded(stoppedAt))) }
        return .object(members)
    }

    /// Segments with several cues list them, marked as estimated.
    private func object(_ id: Int, _ segment: TranscriptSegment) -> JSONValue {
        var members: [JSONValue.Member] = [
            .init("id", .integer(id)), .init("start", Self.rounded(segment.start)),
            .init("end", Self.rounded(segment.end)),
            .init("text", .string(segment.text)), .init("tokens", .array(segment.answer.tokens.map(JSONValue.integer))),
            .init("avg_logprob", Self.rounded(segment.averageLogprob)),
            .init("no_speech_prob", Self.rounded(segment.noSpeech)),
        ]
        let cues = layout.cues(of: segment)
        if cues.count > 1 {
            members.append(
                .init(
                    "cues",
                    .array(
                        cues.map { cue in
                            [
                                "start": Self.rounded(cue.start), "end": Self.rounded(cue.end),
                                "text": .string(cue.lines.joined(separator: "\n")),
                                "estimated": .boolean(cue.isEstimated),
                            ]
                        })))
        }
        if let heard = segment.heard { members.append(.init("source_text", .string(heard))) }
        if let channel = segment.channel { members.append(.init("channel", .integer(channel + 1))) }
        if segment.isUnanswered { members.append(.init("unanswered", .boolean(true))) }
        if let reason = segment.answer.finish?.reason {
            members.append(.init("finish_reason", .string(reason.rawValue)))
        }
        return .object(members)
    }

    /// Rounds to four decimals.
    private static func rounded(_ value: Double) -> JSONValue { .number((value * 1e4).rounded() / 1e4) }
}
