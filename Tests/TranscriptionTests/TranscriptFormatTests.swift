import Foundation
import Generation
import Testing

@testable import Transcription

private func segment(_ start: Double, _ end: Double, _ text: String, channel: Int? = nil) -> TranscriptSegment {
    TranscriptSegment(
        start: start, end: end, text: text, heard: nil, channel: channel, answer: Answer(), noSpeech: 0.25,
        isUnanswered: false)
}

private func transcript(_ segments: [TranscriptSegment]) -> Transcript {
    var transcript = Transcript()
    for segment in segments { transcript.append(.segment(segment)) }
    return transcript
}

/// A line of subtitles, read back.
private struct Cue: Equatable {
    let start, end: Int  // ms
    let text: String
}

/// Independent strict parsers of the formats, which would detect errors that a lenient one hides.
private enum Reader {
    /// SubRip: number, times, text, an empty line; numbers count from 1.
    static func srt(_ text: String) throws -> [Cue] {
        guard !text.isEmpty else { return [] }
        try #require(text.hasSuffix("\n\n"))
        return try text.dropLast(2).components(separatedBy: "\n\n").enumerated().map { index, block in
            let lines = block.split(separator: "\n", omittingEmptySubsequences: false)
            try #require(lines.count >= 3 && lines[0] == "\(index + 1)")
            let times = try #require(
                lines[1].wholeMatch(of: /(\d+):(\d\d):(\d\d),(\d\d\d) --> (\d+):(\d\d):(\d\d),(\d\d\d)/))
            return Cue(
                start: ms(times.1, times.2, times.3, times.4), end: ms(times.5, times.6, times.7, times.8),
                text: lines[2...].joined(separator: " "))
        }
    }

    /// WebVTT 1: a header, cues without identifiers, text with entities and at most a voice.
    static func vtt(_ text: String) throws -> [Cue] {
        try #require(text.hasPrefix("WEBVTT\n\n"))
        return try text.dropFirst(8).components(separatedBy: "\n\n").filter { !$0.isEmpty }.map { block in
            let lines = block.split(separator: "\n", omittingEmptySubsequences: false)
            try #require(lines.count >= 2 && !lines[1].contains("-->"))
            let times = try #require(
                lines[0].wholeMatch(of: /(\d\d+):(\d\d):(\d\d)\.(\d\d\d) --> (\d\d+):(\d\d):(\d\d)\.(\d\d\d)/))
            var text = lines[1...].joined(separator: " ")
            if let voice = text.prefixMatch(of: /<v Channel (\d+)>/) {
                text = "[\(voice.1)] " + text[voice.range.upperBound...]
            }
            try #require(!text.contains("<") && !text.contains(">"))
            text = text.replacing("&lt;", with: "<").replacing("&gt;", with: ">").replacing("&amp;", with: "&")
            return Cue(
                start: ms(times.1, times.2, times.3, times.4), end: ms(times.5, times.6, times.7, times.8), text: text)
        }
    }

    static func tsv(_ text: String) throws -> [Cue] {
        try #require(text.hasPrefix("start\tend\ttext\n") && text.hasSuffix("\n"))
        return try text.split(separator: "\n").dropFirst().map { line in
            let fields = line.split(separator: "\t", omittingEmptySubsequences: false)
            try #require(fields.count == 3)
            return Cue(start: try #require(Int(fields[0])), end: try #require(Int(fields[1])), text: String(fields[2]))
        }
    }

    static func json(_ text: String) throws -> [Cue] {
        struct Verbose: Decodable {
            struct Segment: Decodable {
                let id: Int
                let start, end: Double
                let text: String
                let channel: Int?
            }
            let segments: [Segment]
        }
        try #require(text.hasSuffix("}\n") && text.count { $0 == "\n" } == 1)
        let segments = try JSONDecoder().decode(Verbose.self, from: Data(text.utf8)).segments
        #expect(segments.map(\.id) == Array(segments.indices))
        return segments.filter { !$0.text.isEmpty }.map { segment in
            Cue(
                start: Int((segment.start * 1000).rounded()), end: Int((segment.end * 1000).rounded()),
                text: (segment.channel.map { "[\($0)] " } ?? "") + segment.text)
        }
    }

    private static func ms(_ hours: Substring, _ minutes: Substring, _ seconds: Substring, _ rest: Substring) -> Int {
        let numbers = [hours, minutes, seconds, rest].map { Int($0) ?? -1 }
        return ((numbers[0] * 60 + numbers[1]) * 60 + numbers[2]) * 1000 + numbers[3]
    }
}

@Suite struct TranscriptFormatTests {
    static let transcripts: [[TranscriptSegment]] = [
        [],
        [segment(0, 1, "one")],
        [
            segment(0.0004, 0.9996, "one"), segment(1.5, 61.25, "two three"),
            segment(3_599.9999, 36_000.001, "and ten hours"),
        ],
        [segment(1, 2, "a < b && c --> d > e &amp; f"), segment(2, 3, "tab\there, \"quotes\", 'and' \\ ü 日本 🎧")],
        [segment(1, 2, ""), segment(2, 3, "what follows silence"), segment(4, 5, "")],
        [segment(1, 2, "left", channel: 0), segment(1.5, 3, "right", channel: 1)],
    ]

    @Test(arguments: TranscriptFormat.allCases, transcripts.indices)
    func whatIsWrittenIsReadBack(format: TranscriptFormat, index: Int) throws {
        let segments = Self.transcripts[index]
        // Whole: how segments are cut into cues is another matter.
        var context = TranscriptContext(.init())
        context.layout.maxSeconds = .infinity
        let text = TranscriptWriter.whole(transcript(segments), format, context)
        let expected = segments.filter { !$0.text.isEmpty }.map { segment in
            Cue(
                start: Int((segment.start * 1000).rounded()), end: Int((segment.end * 1000).rounded()),
                text: (segment.channel.map { "[\($0 + 1)] " } ?? "") + segment.text)
        }
        // In reflowed lines a tab is a space.
        let flat = expected.map { Cue(start: $0.start, end: $0.end, text: $0.text.replacing("\t", with: " ")) }
        switch format {
        case .srt: #expect(try Reader.srt(text) == flat)
        case .vtt: #expect(try Reader.vtt(text) == flat)
        case .json: #expect(try Reader.json(text) == expected)
        case .tsv: #expect(try Reader.tsv(text) == flat)
        case .txt: #expect(text == expected.map { "\($0.text)\n" }.joined())
        }
    }

    /// OpenAI's members, in its types.
    @Test func jsonIsVerbose() throws {
        var context = TranscriptContext(
            .init(language: Language(code: "de"), translation: Language(code: "en")), file: "a.wav")
        context.question = ("Summarise.", "Short.")
        let object = try #require(
            try JSONSerialization.jsonObject(
                with: Data(
                    TranscriptWriter.whole(transcript([segment(1, 2.5, "one"), segment(3, 4, "two")]), .json, context)
                        .utf8)) as? [String: Any])
        #expect(object["task"] as? String == "translate" && object["language"] as? String == "english")
        #expect(object["text"] as? String == "one two" && object["duration"] as? Double == 0)
        #expect((object["then"] as? [String: String]) == ["prompt": "Summarise.", "text": "Short."])
        #expect(object["file"] as? String == "a.wav" && object["lost"] as? Double == 0)
        let first = try #require((object["segments"] as? [[String: Any]])?.first)
        #expect(first["id"] as? Int == 0 && first["start"] as? Double == 1 && first["end"] as? Double == 2.5)
        #expect(first["avg_logprob"] as? Double == 0 && first["no_speech_prob"] as? Double == 0.25)
        #expect((first["tokens"] as? [Int]) == [])
    }
}
