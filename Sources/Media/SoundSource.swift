import Foundation

/// Sound that comes block by block at 16 kHz. A class, since reading moves on; one reader at a time.
package protocol SoundSource: AnyObject {
    /// What is known before the end is reached.
    var announcedDurationInSeconds: Double? { get }
    /// - Returns: the next samples of each channel, as many of each; none while a pipe has none to give; nil at the end.
    func readChannels() throws(MediaError) -> [[Float]]?
    /// What a user should know of it; at the end there may be more.
    var notices: [MediaNotice] { get }
    /// What of it is missing or damaged, in seconds of the recording; complete at the end. Where it is not at the end,
    /// silence stands for it.
    var lost: [Range<Double>] { get }
}

extension SoundSource {
    package var notices: [MediaNotice] { [] }
    package var lost: [Range<Double>] { [] }
}

/// Opens recordings of any kind by their first bytes.
package enum SoundSources {
    /// - Parameters:
    ///   - track: of several; nil: the one that the file marks, or its first.
    ///   - isCancelled: asked while a pipe is read; what has come until then is all there is.
    /// - Throws: `MediaError`.
    package static func open(
        _ file: URL, channels: AudioChannels, track: SoundTrack? = nil, isCancelled: () -> Bool = { false }
    ) throws(MediaError) -> any SoundSource {
        try open(SourceBytes(contentsOf: file, isCancelled: isCancelled), channels, track)
    }

    /// - Parameter name: what errors call these bytes.
    package static func open(
        _ bytes: Data, name: String, channels: AudioChannels, track: SoundTrack? = nil
    ) throws(MediaError) -> any SoundSource {
        try open(SourceBytes(bytes, name: name), channels, track)
    }

    /// - Parameter descriptor: of a pipe or a file, which is read to its end.
    package static func open(
        _ descriptor: Int32, name: String, channels: AudioChannels, track: SoundTrack? = nil,
        isCancelled: () -> Bool = { false }
    ) throws(MediaError) -> any SoundSource {
        try open(SourceBytes(descriptor, name: name, isCancelled: isCancelled), channels, track)
    }

    /// `ffmpeg` reads what our own libraries do not: they are asked first, for they need no program.
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

/// A recording that libsndfile or libmpg123 opens.
package final class RecordedSound: SoundSource {
    private var reader: AudioReader

    package init(_ reader: consuming AudioReader) { self.reader = reader }

    package var announcedDurationInSeconds: Double? {
        // Headers of streams leave the length open: 0, or far too much.
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
