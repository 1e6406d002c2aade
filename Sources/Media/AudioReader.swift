import Foundation

/// Decodes a recording to 32-bit floats at 16 kHz, the input of the models: chunk by chunk in bounded memory, or whole.
///
/// Averages the channels or keeps them apart, then resamples with libsoxr; does not normalize, dither or filter.
/// Formats: everything that libsndfile and libmpg123 open, detected by content, not by file name. Reads joined
/// (concatenated) recordings to the last one. Replaces damaged or missing sound by silence if its duration is known,
/// and continues after it; throws at the end, so that an incomplete recording never passes for a complete one.
///
/// Source: transformers, `audio_utils.py`, `load_audio` with its soundfile backend.
package struct AudioReader: ~Copyable, Sendable {
    /// Sample rate of the output, in hertz.
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

    /// - Parameter name: the name of these bytes in errors.
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

    /// Sample rate of the file, in hertz.
    package var sourceSampleRate: Int { sound.firstSampleRate }
    package var sourceChannels: Int { sound.channels }
    /// Duration according to the header. Damaged or streamed files may hold more or less.
    package var announcedDurationInSeconds: Double { sound.announcedDurationInSeconds }
    /// Missing or damaged ranges, as far as known, in seconds of the recording.
    package var lost: [Range<Double>] { sound.lost }
    /// Harmless oddities of the file.
    package var notices: [MediaNotice] { sound.notices }

    /// The next 16 kHz samples: at least one, at most a few seconds; `nil` at the end. Returns the first channel if
    /// channels are kept apart.
    /// - Throws: `MediaError` if the file cannot be decoded, is empty, or holds a non-finite sample; at the end, if
    ///   sound is missing.
    package mutating func readBlock() throws(MediaError) -> [Float]? { try readChannels()?[0] }

    /// Like `readBlock`, with one array per channel; a single array if the channels are mixed.
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

    /// All samples that `readBlock` has not returned yet.
    /// - Throws: also if the recording is longer than `maxDurationInSeconds`: the header of a small file can announce,
    ///   and compressed silence can hold, more than fits in memory. Read longer recordings with `readBlock`.
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

    /// Converts samples in memory in the same way.
    /// - Parameters:
    ///   - interleaved: `[frames, channels]`, nominally in [-1, 1].
    ///   - name: the name of these samples in errors.
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
