import Foundation

/// Sound at 16 kHz, chunk by chunk. A class because reading moves its position; one reader at a time.
package protocol SoundSource: AnyObject {
    /// Duration known before the end is reached.
    var announcedDurationInSeconds: Double? { get }
    /// - Returns: the next samples of each channel, of equal count; empty while a pipe has no data; nil at the end.
    func readChannels() throws(MediaError) -> [[Float]]?
    /// Messages to the user; more may be added until the end.
    var notices: [MediaNotice] { get }
    /// Missing or damaged ranges, in seconds of the recording; complete at the end. Replaced by silence, except at the
    /// end of the recording.
    var lost: [Range<Double>] { get }
}

extension SoundSource {
    package var notices: [MediaNotice] { [] }
    package var lost: [Range<Double>] { [] }
}

/// Opens recordings of any format, detected by their first bytes.
package enum SoundSources {
    /// - Parameters:
    ///   - track: one of several; nil: the file's default track, or its first.
    ///   - isCancelled: polled while reading a pipe; if true, the data read so far is used.
    /// - Throws: `MediaError`.
    package static func open(
        _ file: URL, channels: AudioChannels, track: SoundTrack? = nil, isCancelled: () -> Bool = { false }
    ) throws(MediaError) -> any SoundSource {
        try open(SourceBytes(contentsOf: file, isCancelled: isCancelled), channels, track)
    }

    /// - Parameter name: the name of these bytes in errors.
    package static func open(
        _ bytes: Data, name: String, channels: AudioChannels, track: SoundTrack? = nil
    ) throws(MediaError) -> any SoundSource {
        try open(SourceBytes(bytes, name: name), channels, track)
    }

    /// - Parameter descriptor: a pipe or a file, which is read to its end.
    package static func open(
        _ descriptor: Int32, name: String, channels: AudioChannels, track: SoundTrack? = nil,
        isCancelled: () -> Bool = { false }
    ) throws(MediaError) -> any SoundSource {
        try open(SourceBytes(descriptor, name: name, isCancelled: isCancelled), channels, track)
    }

    /// Tries the linked libraries first, because they need no program, then `ffmpeg`.
    private static func open(
        _ source: SourceBytes, _ channels: AudioChannels, _ track: SoundTrack?
    ) throws(MediaError) -> any SoundSource {
        if SoundFormat.container(source.bytes) != nil { return try FFmpegSound(source, channels, track) }
        let refusal: MediaError
        do throws(MediaError) {
            let reader = try AudioReader(source, channels)
            guard track == nil || track == .number(1) else { throw SoundTrack.missing(track, in: "1", source.name) }
            return RecordedSound(reader)
        } catch {
            refusal = error
        }
        guard [.unsupported, .malformed].contains(refusal.code), track == nil || track == .number(1),
            SoundFormat.mayHaveSound(source.bytes)
        else { throw refusal }
        do throws(MediaError) {
            return try FFmpegSound(source, channels, track)
        } catch  where error.code == .missingProgram && SoundFormat.codec(source.bytes) != nil {
            throw error
        } catch {
            throw refusal
        }
    }
}

/// A recording decoded by libsndfile or libmpg123.
package final class RecordedSound: SoundSource {
    private var reader: AudioReader

    package init(_ reader: consuming AudioReader) { self.reader = reader }

    package var announcedDurationInSeconds: Double? {
        // Headers of streams leave the length open: 0, or far too large.
        let announced = reader.announcedDurationInSeconds
        return announced > 0 && announced < 1e6 ? announced : nil
    }

    package var notices: [MediaNotice] { reader.notices }
    package var lost: [Range<Double>] { reader.lost }

    package func readChannels() throws(MediaError) -> [[Float]]? { try reader.readChannels() }
}

/// Raw samples from a pipe.
package final class PipedSound: SoundSource {
    private let pipe: PCMStream
    private var stream: ChannelStream
    private var isFinished = false

    package init(_ pipe: PCMStream) throws(MediaError) {
        self.pipe = pipe
        stream = try ChannelStream(pipe.name, sampleRate: pipe.sampleRate, channels: 1, output: .mix)
    }

    package var announcedDurationInSeconds: Double? { nil }

    package func readChannels() throws(MediaError) -> [[Float]]? {
        if isFinished { return nil }
        if let samples = try pipe.read() { return try stream.append(samples) }
        isFinished = true
        return stream.finish()
    }
}

/// One channel of samples in memory.
package final class SampledSound: SoundSource {
    private let samples: [Float]
    private var position = 0

    /// - Parameter samples: at 16 kHz.
    package init(_ samples: [Float]) { self.samples = samples }

    package var announcedDurationInSeconds: Double? { Double(samples.count) / Double(AudioReader.sampleRate) }

    package func readChannels() throws(MediaError) -> [[Float]]? {
        guard position < samples.count else { return nil }
        let block = samples[position..<min(samples.count, position + 16_384)]
        position = block.endIndex
        return [Array(block)]
    }
}
