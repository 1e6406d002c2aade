import Foundation

/// Reads a recording as the models want it: 16 kHz, 32-bit floats, in blocks of bounded memory or whole.
///
/// Channels are averaged or kept apart, then the rate is changed by libsoxr; nothing is normalised, dithered or filtered.
/// Formats: whatever libsndfile and libmpg123 open, known by content and not by name. Joined recordings are read to the
/// last. Where sound is damaged or missing, silence stands for it as long as that is known, and what follows is read; the
/// error comes at the end, so that half a recording never passes for a whole one.
///
/// Source: transformers, `audio_utils.py`, `load_audio` with its soundfile backend.
package struct AudioReader: ~Copyable, Sendable {
    /// Of what is read, in hertz.
    package static let sampleRate = 16_000

    private let sound: JoinedSound
    private let outputs: AudioChannels
    private var stream: ChannelStream
    private var isFinished = false
    private var samplesRead = 0

    /// - Throws: `MediaError` if this is not a recording that libsndfile or libmpg123 opens.
    package init(_ file: URL, channels: AudioChannels = .mix) throws(MediaError) {
        try self.init(SourceBytes(contentsOf: file), channels)
    }

    /// - Parameter name: what errors call these bytes.
    package init(_ bytes: Data, name: String = "recording", channels: AudioChannels = .mix) throws(MediaError) {
        try self.init(SourceBytes(bytes, name: name), channels)
    }

    init(_ source: SourceBytes, _ channels: AudioChannels) throws(MediaError) {
        let sound = try JoinedSound(source)
        stream = try ChannelStream(
            source.name, sampleRate: sound.sampleRate, channels: sound.channels, output: channels)
        self.sound = sound
        outputs = channels
    }

    /// Of the file, in hertz.
    package var sourceSampleRate: Int { sound.firstSampleRate }
    package var sourceChannels: Int { sound.channels }
    /// What the header announces.  Damaged or streamed files may have more or less.
    package var announcedDurationInSeconds: Double { sound.announcedDurationInSeconds }
    /// What of the sound is missing or damaged, as far as it is known, in seconds of the recording.
    package var lost: [Range<Double>] { sound.lost }
    /// What is odd about the file, and does no harm.
    package var notices: [MediaNotice] { sound.notices }

    /// The next 16 kHz samples, never none and at most a few seconds of them; `nil` at the end. Of the first channel, if
    /// channels are kept apart.
    /// - Throws: `MediaError` where the file cannot be decoded, holds no sample, or one that is not finite; at the end, if
    ///   something of it is missing.
    package mutating func readBlock() throws(MediaError) -> [Float]? { try readChannels()?[0] }

    /// The same for each channel; one if they are mixed.
    package mutating func readChannels() throws(MediaError) -> [[Float]]? {
        while !isFinished {
            let rate = sound.sampleRate
            let frames = sound.read(frames: 16_384)
            isFinished = frames.isEmpty
            var block: [[Float]] = []
            if isFinished || sound.sampleRate != rate { block = stream.finish() }
            if !isFinished {
                if sound.sampleRate != rate {
                    stream = try ChannelStream(
                        sound.source.name, sampleRate: sound.sampleRate, channels: sound.channels, output: outputs)
                }
                let next = try stream.append(frames)
                block = block.isEmpty ? next : zip(block, next).map { $0 + $1 }
            }
            samplesRead += block[0].count
            if !block[0].isEmpty { return block }
        }
        guard samplesRead > 0 else {
            if let damage = sound.damage { throw damage }
            throw sound.source.error(
                .empty, expected: "sound", found: "a header without a sample",
                remedy: "check that the recording is complete")
        }
        if let damage = sound.damage { throw damage }
        return nil
    }

    /// What `readBlock` has not yet given.
    /// - Throws: also when the recording is longer than `maxDurationInSeconds`: a small file can announce, and
    ///   compressed silence can hold, more than memory does.  Read longer ones in blocks.
    package mutating func readAll(maxDurationInSeconds: Double = 6 * 3600) throws(MediaError) -> [Float] {
        var samples: [Float] = []
        while let block = try readBlock() {
            samples += block
            if Double(samples.count) > maxDurationInSeconds * Double(Self.sampleRate) {
                throw sound.source.error(
                    .tooLarge, expected: "at most \(Int(maxDurationInSeconds)) s of sound", found: "more",
                    remedy: "split the recording into shorter files")
            }
        }
        return samples
    }

    /// The same for samples that are in memory already.
    /// - Parameters:
    ///   - interleaved: `[frames, channels]`, nominally in [-1, 1].
    ///   - name: what errors call these samples.
    package static func convert(
        interleaved: [Float], sampleRate: Int, channels: Int = 1, name: String = "samples"
    ) throws(MediaError) -> [Float] {
        guard (1...SoundLimits.mostChannels).contains(channels), SoundLimits.rates.contains(sampleRate),
            interleaved.count.isMultiple(of: channels), !interleaved.isEmpty
        else {
            throw MediaError(
                code: interleaved.isEmpty ? .empty : .malformed, source: name,
                expected:
                    "whole frames of 1 to \(SoundLimits.mostChannels) channels at \(SoundLimits.rates.lowerBound) to "
                    + "\(SoundLimits.rates.upperBound) Hz",
                found: "\(interleaved.count) samples of \(channels) channels at \(sampleRate) Hz",
                remedy: "check the parameters")
        }
        var stream = try ChannelStream(name, sampleRate: sampleRate, channels: channels, output: .mix)
        return try stream.append(interleaved)[0] + stream.finish()[0]
    }
}
