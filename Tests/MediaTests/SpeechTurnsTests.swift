import Media
import TestSupport
import Testing

@Suite struct SpeechTurnsTests {
    private func events(_ samples: [Float], block: Int, ends: Bool = true) -> [SpeechTurns.Event] {
        var turns = SpeechTurns()
        var events: [SpeechTurns.Event] = []
        for start in stride(from: 0, to: samples.count, by: block) {
            events += turns.append(Array(samples[start..<min(samples.count, start + block)]))
        }
        return ends ? events + turns.finish() : events
    }

    private func pieces(_ events: [SpeechTurns.Event]) -> [SpeechPiece] {
        events.compactMap { if case .piece(let piece, _) = $0 { piece } else { nil } }
    }

    /// A turn has one beginning event and its pieces, the last of which ends it; the pieces equal the segmenter's.
    @Test(arguments: [160, 777, 1_000_000])
    func turnsHoldThePiecesOfTheSegmenter(block: Int) {
        let gap = Sounds.silence(seconds: 2)
        let samples = Sounds.speech(seconds: 3) + gap + Sounds.speech(seconds: 24, seed: 3) + gap
        let found = events(samples, block: block)
        var segmenter = SpeechSegmenter(.live)
        #expect(pieces(found) == segmenter.append(samples) + segmenter.finish())
        let kinds = found.map { event -> String in
            switch event {
            case .began: "began"
            case .piece(_, let endsTurn): endsTurn ? "last" : "piece"
            }
        }
        #expect(kinds.prefix(3) == ["began", "last", "began"])
        #expect(kinds.dropFirst(3).count >= 3 && kinds.last == "last")
        #expect(kinds.dropFirst(3).dropLast().allSatisfy { $0 == "piece" })
        guard case .began(let first) = found[0], case .began(let second) = found[2] else {
            Issue.record("no beginning")
            return
        }
        #expect(first < 3_200 && abs(second - 5 * 16_000) < 3_200)
        #expect(pieces(found)[0].speech.lowerBound == first)
    }

    /// The beginning is detected during speech, and a pause ends the turn before the sound ends.
    @Test func turnsAreKnownBeforeTheSoundEnds() {
        let speech = Sounds.speech(seconds: 4)
        #expect(events(speech, block: 1600, ends: false).count == 1)
        let both = events(speech + Sounds.silence(seconds: 2), block: 1600, ends: false)
        #expect(both.count == 2 && pieces(both).count == 1)
    }

    /// Speech at the end of the sound is a turn, however short; silence is not.
    @Test func theEndOfTheSoundEndsATurn() {
        let short = events(Sounds.speech(seconds: 0.5), block: 160)
        guard case .piece(_, endsTurn: true)? = short.last, case .began? = short.first else {
            Issue.record("\(short.count) events")
            return
        }
        #expect(short.count == 2)
        #expect(events(Sounds.silence(seconds: 5), block: 160).isEmpty)
    }
}

@Suite struct PCMBlocksTests {
    /// Samples do not depend on how bytes are split into chunks.
    @Test(arguments: [1, 3, 4001])
    func samplesAreThoseOfTheWhole(block: Int) throws {
        let bytes = Sounds.pcm(Sounds.speech(seconds: 0.3))
        let whole = try PCMBlocks(.s16le, sampleRate: 24_000, name: "a")
        let expected = try whole.append(bytes) + whole.finish()
        let parts = try PCMBlocks(.s16le, sampleRate: 24_000, name: "a")
        var samples: [Float] = []
        for start in stride(from: 0, to: bytes.count, by: block) {
            samples += try parts.append(Array(bytes[start..<min(bytes.count, start + block)]))
        }
        samples += parts.finish()
        #expect(samples == expected && samples.count == bytes.count / 2 * 16 / 24)
    }
}
