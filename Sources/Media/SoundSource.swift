import Foundation

/// Sound that comes block by block at 16 kHz. A class, since reading moves on; one reader at a time.
public protocol SoundSource: AnyObject {
    /// What is known before the end is reached.
    var announcedDurationInSeconds: Double? { get }
    /// - Returns: the next samples of each channel, as many of each; none while a pipe has none to give; nil at the end.
    func readChannels() throws(MediaError) -> [[Float]]?
}

/// A recording that libsndfile opens.
public final class RecordedSound: SoundSource {
    private var reader: AudioReader

    public init(_ reader: consuming AudioReader) { self.reader = reader }

    public var announcedDurationInSeconds: Double? {
        // Headers of streams leave the length open: 0, or far too much.
        let announced = reader.announcedDurationInSeconds
        return announced > 0 && announced < 1e6 ? announced : nil
    }

    public func readChannels() throws(MediaError) -> [[Float]]? { try reader.readChannels() }
}

/// Raw samples from a pipe.
public final class PipedSound: SoundSource {
    private let pipe: PCMStream
    private var stream: ChannelStream
    private var isFinished = false

    public init(_ pipe: PCMStream) throws(MediaError) {
        self.pipe = pipe
        stream = try ChannelStream(pipe.name, sampleRate: pipe.sampleRate, channels: 1, output: .mix)
    }

    public var announcedDurationInSeconds: Double? { nil }

    public func readChannels() throws(MediaError) -> [[Float]]? {
        if isFinished { return nil }
        if let samples = try pipe.read() { return try stream.append(samples) }
        isFinished = true
        return stream.finish()
    }
}

/// One channel of samples in memory.
public final class SampledSound: SoundSource {
    private let samples: [Float]
    private var position = 0

    /// - Parameter samples: at 16 kHz.
    public init(_ samples: [Float]) { self.samples = samples }

    public var announcedDurationInSeconds: Double? { Double(samples.count) / Double(AudioReader.sampleRate) }

    public func readChannels() throws(MediaError) -> [[Float]]? {
        guard position < samples.count else { return nil }
        let block = samples[position..<min(samples.count, position + 16_384)]
        position = block.endIndex
        return [Array(block)]
    }
}
