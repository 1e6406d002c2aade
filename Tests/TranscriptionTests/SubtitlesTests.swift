import Foundation
import Generation
import Testing

@testable import Transcription

private func segment(_ end: Double, _ text: String, stretches: [Range<Double>] = []) -> TranscriptSegment {
    TranscriptSegment(
        start: 0, end: end, text: text, heard: nil, channel: nil, answer: Answer(), noSpeech: 0, stretches: stretches)
}

private let long = """
    The committee met on Tuesday to discuss the budget for the coming year, and after three hours of debate nobody was \
    any wiser. Then the treasurer stood up. She said that there was no money left, none at all, and that the roof, \
    which had been leaking since the spring, would have to wait for another winter. Everybody went home.
    """

@Suite struct SubtitlesTests {
    /// Every word occurs once, in order; lines and times are within their limits; cues adjoin or are separated by a
    /// pause.
    @Test(arguments: [(42, 2), (32, 1), (20, 3), (80, 2)])
    func cuesCanBeRead(width: Int, lines: Int) {
        let layout = SubtitleLayout(maxLineWidth: width, maxLines: lines)
        let cues = layout.cues(of: segment(26, long))
        #expect(cues.flatMap(\.lines).joined(separator: " ") == long)
        #expect(cues.allSatisfy { $0.lines.count <= lines && $0.lines.allSatisfy { $0.count <= width } })
        #expect(cues.allSatisfy { $0.end - $0.start <= 7 && $0.end > $0.start && $0.isEstimated })
        #expect(cues.first?.start == 0 && cues.last?.end == 26)
        for (cue, next) in zip(cues, cues.dropFirst()) { #expect(cue.end == next.start) }
    }

    @Test func cuesEndWithSentences() {
        let cues = SubtitleLayout().cues(of: segment(26, long))
        let texts = cues.map { $0.lines.joined(separator: " ") }
        #expect(texts.contains { $0.hasSuffix("wiser.") || $0.hasSuffix("stood up.") })
        #expect(texts.contains { $0.hasSuffix("winter.") })
        #expect(cues.count <= 6, "\(texts)")
    }

    /// Sixteen words in four groups of different length with pauses between: cues end where the pauses begin.
    @Test func cutsGoToPauses() {
        let text = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
        let stretches = [0.3..<4.1, 4.9..<9.0, 9.6..<15.2]
        let cues = SubtitleLayout(maxLineWidth: 42, maxLines: 1).cues(of: segment(15.4, text, stretches: stretches))
        let ends = cues.dropLast().map(\.end)
        let starts = cues.dropFirst().map(\.start)
        #expect(ends.contains(4.1) && starts.contains(4.9) && ends.contains(9.0) && starts.contains(9.6), "\(cues)")
    }

    @Test func whatFitsIsOneCueAtItsTime() {
        let cues = SubtitleLayout().cues(of: segment(3, "Good morning, everybody."))
        #expect(cues == [SubtitleCue(start: 0, end: 3, lines: ["Good morning, everybody."], isEstimated: false)])
        #expect(SubtitleLayout().cues(of: segment(3, "")).isEmpty)
        // Lines are balanced.
        let two = SubtitleLayout().cues(of: segment(5, "april kitchen thursday hour coffee heater go call hot lamp"))
        #expect(two.map(\.lines) == [["april kitchen thursday hour", "coffee heater go call hot lamp"]])
    }

    /// A few words over a long time are no cue of 20 s.
    @Test func slowSpeechIsCutByTime() {
        let cues = SubtitleLayout().cues(of: segment(20, "well I do not know"))
        #expect(cues.count > 1 && cues.allSatisfy { $0.end - $0.start <= 8 })
    }

    /// Scripts without spaces are split between characters, half as many per line; punctuation stays with its
    /// character.
    @Test func otherScriptsAreCutToo() {
        let text = String(repeating: "今日は天気がいいので、散歩に行きましょう。", count: 5)
        let cues = SubtitleLayout().cues(of: segment(20, text))
        #expect(cues.flatMap(\.lines).joined() == text)
        #expect(cues.allSatisfy { $0.lines.count <= 2 && $0.lines.allSatisfy { $0.count <= 21 } })
        #expect(cues.flatMap(\.lines).allSatisfy { !"、。".contains($0.first!) })
    }

    @Test func aWordThatIsWiderThanALineIsCut() {
        let word = String(repeating: "x", count: 100)
        let cues = SubtitleLayout().cues(of: segment(4, word))
        #expect(cues.flatMap(\.lines).joined() == word && cues.flatMap(\.lines).allSatisfy { $0.count <= 42 })
    }

    @Test func labelsCount() {
        let cues = SubtitleLayout(maxLineWidth: 20).cues(of: segment(6, "one two three four five six"), label: "[1] ")
        #expect(cues.allSatisfy { $0.lines[0].hasPrefix("[1] ") && $0.lines.allSatisfy { $0.count <= 20 } })
    }

    /// Valid for players: numbering continues, and JSON marks estimated times.
    @Test func formatsHaveTheCues() throws {
        var transcript = Transcript()
        transcript.append(.segment(segment(26, long)))
        transcript.append(
            .segment(
                TranscriptSegment(
                    start: 30, end: 31, text: "Yes.", heard: nil, channel: nil, answer: Answer(), noSpeech: 0)))
        let cues = SubtitleLayout().cues(of: transcript.segments[0])
        let srt = TranscriptWriter.whole(transcript, .srt, .init(.init()))
        #expect(srt.contains("\n\n\(cues.count + 1)\n00:00:30,000 --> 00:00:31,000\nYes.\n\n"))
        var context = TranscriptContext(.init())
        context.layout = .init(maxLineWidth: 30, maxLines: 1)
        let vtt = TranscriptWriter.whole(transcript, .vtt, context)
        #expect(vtt.split(separator: "\n").allSatisfy { $0.count <= 30 })
        let json = TranscriptWriter.whole(transcript, .json, .init(.init()))
        let object = try #require(try JSONSerialization.jsonObject(with: Data(json.utf8)) as? [String: Any])
        let segments = try #require(object["segments"] as? [[String: Any]])
        let estimated = try #require(segments[0]["cues"] as? [[String: Any]])
        #expect(estimated.count == cues.count && estimated.allSatisfy { $0["estimated"] as? Bool == true })
        #expect(segments[1]["cues"] == nil)
    }
}
