import Foundation
import Generation
import Media
import TestSupport
import Testing
import Tokenization

@testable import Gemma4Kit
@testable import Transcription

private func pipeline() throws -> Gemma4Pipeline {
    try Gemma4Pipeline(contentsOf: URL(filePath: Goldens.checkpoint("E2B")))
}

private let rate = 16_000.0

/// Utterances separated by pauses that end pieces, in faint noise, and their times.
private func utterances(_ count: Int, seed: Int = 0, pause: Double = 2) -> (
    samples: [Float], times: [(start: Double, end: Double)]
) {
    var samples = Sounds.silence(seconds: 1.5)
    var times: [(Double, Double)] = []
    for index in 0..<count {
        let length = 1 + Double((index * 7 + seed) % 5)
        let start = Double(samples.count) / rate
        times.append((start, start + length))
        samples += Sounds.speech(seconds: length, seed: index + seed)
        samples += Sounds.silence(seconds: pause + Double(index % 3))
    }
    return (Sounds.mixed(samples, Sounds.noise(seconds: Double(samples.count) / rate, level: -60)), times)
}

private func expectTimes(_ segments: [TranscriptSegment], _ times: [(start: Double, end: Double)]) {
    #expect(segments.count == times.count)
    for (segment, time) in zip(segments, times) {
        #expect(abs(segment.start - time.start) < 0.5 && abs(segment.end - time.end) < 0.5)
    }
}

private func expectNothingLost(_ report: TranscriptReport, seconds: Double) {
    #expect(report.lost == 0 && abs(report.read - seconds) < 1e-6)
    #expect(abs(report.heard + report.skipped + report.unreached - seconds) < 1e-6)
}

@Suite struct TranscriberTests {
    private let brief = GenerationOptions(sampling: .greedy, maxTokens: 3, loopGuard: .transcript)

    /// A recording that fits into one piece is answered like a conversation with a prompt and the recording.
    @Test func aShortRecordingIsOneAnswer() async throws {
        let pipeline = try pipeline()
        let file = Goldens.folder.appending(path: "attachments/chirp.wav")
        let options = TranscriptionOptions(detectsSpeech: false, generation: .init(sampling: .greedy, maxTokens: 20))
        let transcript = try await pipeline.transcribe(.file(file), options: options).transcript()
        let message = ChatMessage(.user, parts: [.text(SpeechInstruction(options).text), .audio()])
        let answer = try await pipeline.generate(
            [message], media: [.audio(.file(file))], options: .init(sampling: .greedy, maxTokens: 20)
        )
        .answer()
        let segment = try #require(transcript.segments.first)
        #expect(transcript.segments.count == 1)
        #expect(segment.answer.tokens == answer.tokens)
        // The chunks differ if the recording is not encoded yet: see `EngineTests`.
        expectClose(segment.answer.logprobs, answer.logprobs, absolute: 1e-4)
        #expect(segment.answer.finish?.promptTokens == answer.finish?.promptTokens)
        #expect(transcript.report.lost == 0 && transcript.report.skipped == 0)
    }

    /// Segments without speech are not passed to the model, in recordings of any length and per channel; unless
    /// detection is off.
    @Test(arguments: [0.5, 10, 40])
    func theModelIsNotAskedAboutSilence(seconds: Double) async throws {
        let pipeline = try pipeline()
        let noise = Sounds.noise(seconds: seconds, level: -40)
        for samples in [noise, Sounds.silence(seconds: seconds)] {
            let audio = AudioInput.samples(samples, sampleRate: 16_000)
            let transcript = try await pipeline.transcribe(audio, options: .init(generation: brief)).transcript()
            #expect(transcript.segments.isEmpty && transcript.report.statistics.promptTokens == 0)
            #expect(abs(transcript.report.skipped - seconds) < 1e-6 && transcript.report.lost == 0)
            let all = TranscriptionOptions(detectsSpeech: false, generation: brief)
            let heard = try await pipeline.transcribe(audio, options: all).transcript()
            #expect(heard.segments.count == (seconds > 28 ? 2 : 1))
            expectNothingLost(heard.report, seconds: seconds)
            #expect(heard.report.skipped == 0)
        }
        let speech = Sounds.speech(seconds: seconds)
        let file = Sounds.wave(zip(noise, speech).flatMap { [$0, $1] }, channels: 2)
        let options = TranscriptionOptions(channels: .split, generation: brief)
        let split = try await pipeline.transcribe(.bytes(file), options: options).transcript()
        #expect(split.report.silentChannels == [0] && split.segments.allSatisfy { $0.channel == 1 })
        #expect(!split.segments.isEmpty)
    }

    /// Missing sound counts as lost, neither heard nor skipped, at whichever end of a range.
    @Test(arguments: [EncodedSound.wav, .flac])
    func whatIsMissingIsLost(format: EncodedSound) async throws {
        let pipeline = try pipeline()
        let (samples, _) = utterances(6)
        let length = Double(samples.count) / rate
        let file = try format.file(samples)
        let cut = file.prefix(file.count * 7 / 10)
        var transcript = Transcript()
        let error = await #expect(throws: MediaError.self) {
            for try await event in pipeline.transcribe(.bytes(Data(cut)), options: .init(generation: brief)) {
                transcript.append(event)
            }
        }
        #expect(error?.code == .truncated && !transcript.segments.isEmpty)
        let report = transcript.report
        #expect(report.lost > 0.1 * length && report.lost < 0.5 * length)
        #expect(abs(report.heard + report.skipped + report.lost - length) < 0.1 && abs(report.duration - length) < 0.1)
        // A part that is whole has lost nothing.
        let part = TranscriptionOptions(offsetInSeconds: 1, durationInSeconds: 5, generation: brief)
        let begin = try await pipeline.transcribe(.bytes(Data(cut)), options: part).transcript()
        expectNothingLost(begin.report, seconds: 5)
    }

    @Test func whatIsDamagedIsLostAtItsPlace() async throws {
        let pipeline = try pipeline()
        let (samples, times) = utterances(6)
        var file = try EncodedSound.flac.file(samples)
        file[file.count / 2] ^= 0x55
        var transcript = Transcript()
        let error = await #expect(throws: MediaError.self) {
            for try await event in pipeline.transcribe(.bytes(file), options: .init(generation: brief)) {
                transcript.append(event)
            }
        }
        #expect(error?.code == .malformed && transcript.report.lost > 0 && transcript.report.lost < 1)
        expectTimes(transcript.segments, times)
        let report = transcript.report
        #expect(abs(report.heard + report.skipped + report.lost - Double(samples.count) / rate) < 1e-3)
    }

    /// Ten minutes: every utterance is a segment, at its time, and every second is accounted for.
    @Test func aLongRecordingIsASegmentForEachUtterance() async throws {
        let (samples, times) = utterances(100)
        #expect(Double(samples.count) / rate > 550)
        let options = TranscriptionOptions(generation: .init(sampling: .greedy, maxTokens: 1))
        let transcript = try await pipeline().transcribe(.samples(samples, sampleRate: 16_000), options: options)
            .transcript()
        expectTimes(transcript.segments, times)
        expectNothingLost(transcript.report, seconds: Double(samples.count) / rate)
        #expect(
            transcript.report.skipped > 200 && transcript.report.unreached == 0 && transcript.report.stoppedAt == nil)
    }

    /// Each piece is answered by itself, with its own samples alone.
    @Test func piecesAreAnsweredOneByOne() async throws {
        let pipeline = try pipeline()
        let (samples, _) = utterances(8)
        var segmenter = SpeechSegmenter()
        let pieces = segmenter.append(samples) + segmenter.finish()
        let transcript = try await pipeline.transcribe(
            .samples(samples, sampleRate: 16_000), options: .init(generation: brief)
        ).transcript()
        #expect(transcript.segments.count == pieces.count)
        let message = ChatMessage(.user, parts: [.text(SpeechInstruction(.init()).text), .audio()])
        for (piece, segment) in zip(pieces, transcript.segments) {
            let sound = AudioInput.samples(piece.samples, sampleRate: 16_000)
            let answer = try await pipeline.generate([message], media: [.audio(sound)], options: brief).answer()
            #expect(segment.answer.tokens == answer.tokens)
        }
    }

    @Test func partOfARecordingKeepsItsTimes() async throws {
        let (samples, times) = utterances(12)
        let options = TranscriptionOptions(
            offsetInSeconds: times[3].start - 1, durationInSeconds: times[8].end - times[3].start + 2,
            maxSegmentInSeconds: 10, generation: .init(sampling: .greedy, maxTokens: 1))
        let transcript = try await pipeline().transcribe(.samples(samples, sampleRate: 16_000), options: options)
            .transcript()
        expectTimes(transcript.segments, Array(times[3...8]))
        expectNothingLost(transcript.report, seconds: options.durationInSeconds!)
    }

    @Test func anOffsetBehindTheEndIsRefused() async throws {
        let options = TranscriptionOptions(offsetInSeconds: 100)
        let error = await #expect(throws: MediaError.self) {
            try await pipeline().transcribe(
                .samples([Float](repeating: 0, count: 16_000), sampleRate: 16_000), options: options
            )
            .transcript()
        }
        #expect(
            error?.description
                == "samples: expected sound after 100.0 s, found a recording of 1.0 s; check the recording, offset and duration."
        )
    }

    @Test func channelsAreTranscribedApart() async throws {
        let (left, leftTimes) = utterances(6)
        let (right, rightTimes) = utterances(5, seed: 3, pause: 3)
        let count = min(left.count, right.count)
        let file = Sounds.wave((0..<count).flatMap { [left[$0], right[$0]] }, channels: 2)
        let options = TranscriptionOptions(channels: .split, generation: .init(sampling: .greedy, maxTokens: 1))
        let transcript = try await pipeline().transcribe(.bytes(file), options: options).transcript()
        func times(_ all: [(start: Double, end: Double)]) -> [(start: Double, end: Double)] {
            all.filter { $0.end < Double(count) / rate }
        }
        expectTimes(transcript.segments.filter { $0.channel == 0 }, times(leftTimes))
        expectTimes(transcript.segments.filter { $0.channel == 1 }, times(rightTimes))
        expectNothingLost(transcript.report, seconds: 2 * Double(count) / rate)
        #expect(transcript.report.channels == 2 && abs(transcript.report.duration - Double(count) / rate) < 1e-6)
    }

    /// Wherever it is stopped, the transcript so far and the one continued from there give the whole.
    @Test func whatIsStoppedCanGoOn() async throws {
        let pipeline = try pipeline()
        let (samples, times) = utterances(40)
        var begun = Transcript()
        var options = TranscriptionOptions(generation: brief)
        let events = pipeline.transcribe(.samples(samples, sampleRate: 16_000), options: options)
        for try await event in events {
            begun.append(event)
            if begun.segments.count == 3 { events.cancel() }
        }
        expectNothingLost(begun.report, seconds: begun.report.read)
        let stoppedAt = try #require(begun.report.stoppedAt)
        #expect(begun.segments.count < 40)
        options.offsetInSeconds = stoppedAt
        let rest = try await pipeline.transcribe(.samples(samples, sampleRate: 16_000), options: options).transcript()
        expectTimes(begun.segments + rest.segments, times)
    }

    /// Segments arrive while the speaker continues: the pipe stays open until the first one.
    @Test func liveSoundIsTranscribedWhileItComes() async throws {
        let pipe = Pipe()
        let stream = try PCMStream(pipe.fileHandleForReading.fileDescriptor, format: .s16le, sampleRate: 16_000)
        let (samples, times) = utterances(4)
        let half = Int((times[1].end + 1.9) * rate)
        try pipe.fileHandleForWriting.write(contentsOf: Sounds.pcm(Array(samples[..<half])))
        var transcript = Transcript()
        for try await event in try pipeline().transcribe(.pcm(stream), options: .init(generation: brief)) {
            transcript.append(event)
            guard case .segment = event, transcript.segments.count == 2 else { continue }
            try pipe.fileHandleForWriting.write(contentsOf: Sounds.pcm(Array(samples[half...])))
            try pipe.fileHandleForWriting.close()
        }
        expectTimes(transcript.segments, times)
        expectNothingLost(transcript.report, seconds: Double(samples.count) / rate)
        withExtendedLifetime(pipe) {}
    }

    /// Overlapping pieces: the shared seconds count once.
    @Test func whereSpeechRunsThroughNothingIsLost() async throws {
        let samples = Sounds.speech(seconds: 45, hisses: false)
        let options = TranscriptionOptions(
            maxSegmentInSeconds: 10, generation: .init(sampling: .greedy, maxTokens: 1))
        let transcript = try await pipeline().transcribe(.samples(samples, sampleRate: 16_000), options: options)
            .transcript()
        #expect(transcript.segments.count >= 5)
        expectNothingLost(transcript.report, seconds: 45)
        for (segment, next) in zip(transcript.segments, transcript.segments.dropFirst()) {
            #expect(abs(segment.end - next.start) < 0.02)
        }
    }

    /// A repetition is reduced to one occurrence in the text.
    @Test func repetitionIsCutToOneRound() async throws {
        let pipeline = try Gemma4Pipeline(contentsOf: URL(filePath: Goldens.checkpoint("E4B")))
        let answer = try await pipeline.generate([ChatMessage(.user, "a")], options: .init(sampling: .greedy)).answer()
        let finish = try #require(answer.finish)
        let repetition = try #require(finish.repetition)
        #expect(finish.reason == .repetition && repetition.upperBound == answer.tokens.count)
        let period = try #require(
            (1...repetition.lowerBound).first {
                answer.tokens[repetition.lowerBound] == answer.tokens[repetition.lowerBound - $0]
            })
        #expect(repetition.count >= 6 * period)
        #expect(
            answer.text.hasPrefix(answer.textWithoutRepetition)
                && answer.textWithoutRepetition.count < answer.text.count / 2)
        let free = try await pipeline.generate(
            [ChatMessage(.user, "a")], options: .init(sampling: .greedy, loopGuard: nil)
        ).answer()
        #expect(free.finish?.reason == .length && free.tokens.starts(with: answer.tokens))
        #expect(free.textWithoutRepetition == free.text)
    }
}
