import Dispatch
import Foundation
import Generation
import Media
import Synchronization

/// Transcribes a segment of sound with a model: mono samples at 16 kHz, at most 30 s, and the instruction.
package typealias SpeechModel =
    @Sendable (_ samples: [Float], _ instruction: String, _ options: GenerationOptions) async throws -> Answer

/// A recording to be opened.
package struct Recording: Sendable {
    /// Its name in errors.
    let name: String
    /// Whether it is live.
    let isLive: Bool
    /// Throws `MediaError`.
    let open: @Sendable () throws -> any SoundSource

    package init(name: String, isLive: Bool, open: @escaping @Sendable () throws -> any SoundSource) {
        (self.name, self.isLive, self.open) = (name, isLive, open)
    }
}

/// Transcribes one recording: reads it, splits it into pieces, generates several answers at once and joins them in
/// order.
///
/// An actor on its own dispatch queue: reading a pipe blocks, and must not block a thread of Swift's pool.
package actor Transcriber {
    private let model: SpeechModel
    private let options: TranscriptionOptions
    private let instruction: SpeechInstruction
    private let executor = ReadingExecutor()
    private var report = TranscriptReport()
    private var channels: [Channel] = []
    /// Pieces with a pending answer, in order.
    private var pending: [Question] = []
    private var isStopped = false

    package nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    package init(_ options: TranscriptionOptions, _ model: @escaping SpeechModel) {
        self.model = model
        self.options = options
        instruction = SpeechInstruction(options)
    }

    /// State of one channel, in samples of the excerpt.
    private struct Channel {
        var segmenter: SpeechSegmenter
        var read = 0
        var heard: [Range<Int>] = []
        var heardThrough = 0
        /// The last segment if it was cut within speech: the next may begin with its last words.
        var held: TranscriptSegment?
    }

    /// A piece and its future answer.
    private struct Question {
        let piece: SpeechPiece
        let channel: Int
        /// Nil if it was cancelled.
        let answer: Task<Answer?, any Error>
        let isAnswered: AnsweredFlag
    }

    private final class AnsweredFlag: Sendable { let value = Atomic(false) }

    /// If a recording is found to be damaged, the part before the damage is transcribed before the error is thrown. If
    /// the task is cancelled, the segments answered so far and the report are still yielded.
    package func run(_ recording: Recording, _ yield: @Sendable (TranscriptEvent) -> Void) async throws {
        guard let source = try open(recording) else { return yield(.end(report)) }
        var segmentation = recording.isLive ? SpeechSegmenter.Options.live : .init()
        if let longest = options.maxSegmentInSeconds { segmentation.maxPieceInSeconds = longest }
        segmentation.detectsSpeech = options.detectsSpeech
        let ahead = recording.isLive ? 0 : max(1, options.parallelPieces) - 1
        defer { for question in pending { question.answer.cancel() } }
        var excerpt = Excerpt(offset: options.offsetInSeconds, duration: options.durationInSeconds)
        let end = source.announcedDurationInSeconds.map(excerpt.end)
        var damage: (any Error)?
        source.notices.forEach { yield(.notice($0)) }
        let told = source.notices.count
        while !excerpt.isOver, !mustStop {
            let next: [[Float]]?
            do { next = try source.readChannels() } catch { (next, damage) = (nil, error) }
            guard let block = next else { break }
            if channels.isEmpty {
                channels = block.map { _ in Channel(segmenter: SpeechSegmenter(segmentation)) }
            }
            for (index, samples) in excerpt.take(block).enumerated() {
                channels[index].read += samples.count
                for piece in channels[index].segmenter.append(samples) {
                    ask(about: piece, index, end, yield)
                    try await takeAnswers(leaving: ahead, yield)
                }
            }
            while !isStopped, pending.first?.isAnswered.value.load(ordering: .acquiring) == true {
                try await takeAnswers(leaving: pending.count - 1, yield)
            }
        }
        for index in channels.indices where !isStopped {
            for piece in channels[index].segmenter.finish() {
                ask(about: piece, index, end, yield)
                try await takeAnswers(leaving: ahead, yield)
            }
        }
        try await takeAnswers(leaving: 0, yield)
        for channel in channels { if let held = channel.held { release(held, yield) } }
        source.notices.dropFirst(told).forEach { yield(.notice($0)) }
        guard isStopped || channels.contains(where: { $0.read > 0 }) else { throw damage ?? nothing(recording, source) }
        balance(source.lost)
        yield(.end(report))
        // Ctrl-C also kills the program whose output is read, which is not an error.
        if let damage, !mustStop { throw damage }
    }

    /// - Returns: nil if the work was stopped first.
    private func open(_ recording: Recording) throws -> (any SoundSource)? {
        do { return try recording.open() } catch {
            guard mustStop else { throw error }
            report.stoppedAt = options.offsetInSeconds
            return nil
        }
    }

    /// Whether the task was cancelled; stays true once it was.
    private var mustStop: Bool {
        isStopped = isStopped || Task.isCancelled
        return isStopped
    }

    private func nothing(_ recording: Recording, _ source: any SoundSource) -> MediaError {
        let length = source.announcedDurationInSeconds.map { String(format: "a recording of %.1f s", $0) }
        return MediaError(
            code: .empty, source: recording.name,
            expected: options.offsetInSeconds > 0 ? "sound after \(options.offsetInSeconds) s" : "sound",
            found: length ?? "no sample", remedy: "check the recording, offset and duration")
    }

    // MARK: Pieces

    private func ask(
        about piece: SpeechPiece, _ channel: Int, _ end: Double?, _ yield: @Sendable (TranscriptEvent) -> Void
    ) {
        guard !mustStop else { return }
        yield(.progress(at: time(piece.speech.lowerBound), of: end))
        let isAnswered = AnsweredFlag()
        let answer = Task { [model, options, instruction] () -> Answer? in
            defer { isAnswered.value.store(true, ordering: .releasing) }
            do {
                return try await instruction.answer(about: piece, model, options.generation)
            } catch is CancellationError where Task.isCancelled {
                return nil
            }
        }
        pending.append(Question(piece: piece, channel: channel, answer: answer, isAnswered: isAnswered))
    }

    /// Waits for answers in the order of their pieces until at most `count` are pending.
    private func takeAnswers(leaving count: Int, _ yield: @Sendable (TranscriptEvent) -> Void) async throws {
        while pending.count > count, !isStopped {
            let question = pending[0]
            let answer = try await withTaskCancellationHandler {
                try await question.answer.value
            } onCancel: {
                question.answer.cancel()
            }
            guard let answer else {
                isStopped = true
                return
            }
            pending.removeFirst()
            let (piece, channel) = (question.piece, question.channel)
            channels[channel].heard.append(piece.range.dropFirst(piece.overlap))
            channels[channel].heardThrough = piece.range.upperBound
            join(segment(piece, answer, channel), piece, channel, yield)
        }
    }

    private func segment(_ piece: SpeechPiece, _ answer: Answer, _ channel: Int) -> TranscriptSegment {
        let (heard, translated) = instruction.parse(answer.textWithoutRepetition)
        return TranscriptSegment(
            start: time(piece.speech.lowerBound), end: time(piece.speech.upperBound), text: translated ?? heard,
            heard: translated == nil ? nil : heard, channel: options.channels == .split ? channel : nil, answer: answer,
            noSpeech: 1 - piece.speechShare, isUnanswered: piece.speechShare > 0 && answer.isBlank,
            stretches: piece.stretches.map { time($0.lowerBound)..<time($0.upperBound) })
    }

    // MARK: Segments

    /// Removes the overlap with the previous segment, and yields the segments that are final.
    private func join(
        _ segment: TranscriptSegment, _ piece: SpeechPiece, _ channel: Int, _ yield: (TranscriptEvent) -> Void
    ) {
        var segment = segment
        if var held = channels[channel].held {
            let seam = Seam(held.text, segment.text)
            (held.text, segment.text) = (seam.earlier, seam.later)
            if let before = held.heard, let after = segment.heard {
                let seam = Seam(before, after)
                (held.heard, segment.heard) = (seam.earlier, seam.later)
            }
            release(held, yield)
        }
        channels[channel].held = piece.isCutInSpeech ? segment : nil
        if !piece.isCutInSpeech { release(segment, yield) }
    }

    private func release(_ segment: TranscriptSegment, _ yield: (TranscriptEvent) -> Void) {
        var segment = segment
        segment.text = Seam.concatenate("", segment.text)
        segment.heard = segment.heard.map { Seam.concatenate("", $0) }
        report.segments += 1
        if let finish = segment.answer.finish {
            report.statistics += finish.statistics
            report.cutSegments += finish.reason == .length ? 1 : 0
            report.repeatingSegments += finish.reason == .repetition ? 1 : 0
            report.unansweredSegments += segment.isUnanswered ? 1 : 0
        }
        yield(.segment(segment))
    }

    // MARK: Seconds

    /// - Parameter lost: damaged or missing ranges, in seconds of the recording.
    private func balance(_ lost: [Range<Double>]) {
        let lost = lost.map { sample($0.lowerBound)..<sample($0.upperBound) }
        func count(_ ranges: [Range<Int>], within range: Range<Int>) -> Int {
            ranges.reduce(0) { $0 + $1.clamped(to: range).count }
        }
        report.channels = channels.count
        for (index, channel) in channels.enumerated() {
            let heard = channel.heard.reduce(0) { $0 + $1.count }
            // If stopped, silence after the last piece heard does not count as skipped.
            let reached = isStopped ? channel.heardThrough : channel.read
            let skipped = isStopped ? channel.heardThrough - heard : channel.segmenter.skippedSamples
            // Lost sound was replaced by silence, which was heard or skipped, or it is missing at the end.
            let lostHere = count(lost, within: 0..<reached)
            let lostAsHeard = channel.heard.reduce(0) { $0 + count(lost, within: $1) }
            let beyond = isStopped ? 0 : count(lost, within: reached..<wantedEnd(reached))
            report.duration = max(report.duration, seconds(channel.read + beyond))
            report.read += seconds(channel.read + beyond)
            report.heard += seconds(heard - lostAsHeard)
            report.skipped += seconds(skipped - (lostHere - lostAsHeard))
            report.unreached += seconds(isStopped ? channel.read - channel.heardThrough : 0)
            if options.channels == .split, !isStopped, heard == 0 { report.silentChannels.append(index) }
        }
        if isStopped { report.stoppedAt = time(channels.map(\.heardThrough).min() ?? 0) }
    }

    /// End of the requested range, unless the recording ends before.
    private func wantedEnd(_ reached: Int) -> Int {
        options.durationInSeconds.map { max(reached, sample(options.offsetInSeconds + $0)) } ?? .max
    }

    /// The sample of the excerpt at a time in seconds of the recording; 0 for times before the excerpt.
    private func sample(_ time: Double) -> Int {
        max(0, Int(((time - options.offsetInSeconds) * Double(AudioReader.sampleRate)).rounded()))
    }

    private func seconds(_ samples: Int) -> Double { Double(samples) / Double(AudioReader.sampleRate) }

    /// Time in the recording of a sample of the excerpt.
    private func time(_ sample: Int) -> Double { options.offsetInSeconds + seconds(sample) }
}

extension SpeechInstruction {
    /// Transcribes a piece. If speech was detected but the answer is empty, retries once with half a second of silence
    /// before the piece, because recognition can depend on where a recording is cut.
    func answer(
        about piece: SpeechPiece, _ model: SpeechModel, _ options: GenerationOptions
    ) async throws -> Answer {
        var options = options
        options.keepsCache = false
        let answer = try await model(piece.samples, text, options)
        guard answer.isBlank, piece.speechShare > 0 else { return answer }
        let silence = [Float](repeating: 0, count: AudioReader.sampleRate / 2)
        let samples = (silence + piece.samples).prefix(AudioSplitter.modelLimit)
        return try await model(Array(samples), text, options)
    }
}

extension Answer {
    fileprivate var isBlank: Bool { text.allSatisfy(\.isWhitespace) }
}

/// Runs a transcriber on its own dispatch queue.
private final class ReadingExecutor: SerialExecutor {
    private let queue = DispatchQueue(label: "gemma4.transcriber")

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        queue.async { job.runSynchronously(on: self.asUnownedSerialExecutor()) }
    }
}

/// The range of a recording that is transcribed.
private struct Excerpt {
    private var left: Int
    private var wanted: Int?

    init(offset: Double, duration: Double?) {
        left = Int(offset * Double(AudioReader.sampleRate))
        wanted = duration.map { Int($0 * Double(AudioReader.sampleRate)) }
    }

    var isOver: Bool { left == 0 && wanted == 0 }

    /// End of the range in a recording of this length, in seconds.
    func end(of length: Double) -> Double {
        let start = Double(left) / Double(AudioReader.sampleRate)
        return min(length, wanted.map { start + Double($0) / Double(AudioReader.sampleRate) } ?? length)
    }

    /// The part of the next chunk that is in the range.
    mutating func take(_ block: [[Float]]) -> [[Float]] {
        let count = block.first?.count ?? 0
        let skipped = min(left, count)
        let taken = min(wanted ?? .max, count - skipped)
        left -= skipped
        wanted = wanted.map { $0 - taken }
        return block.map { Array($0[skipped..<skipped + taken]) }
    }
}
