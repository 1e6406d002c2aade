import Foundation

/// Raw headerless samples from a pipe in real time, as `arecord -t raw` or `ffmpeg -f s16le` write them.
///
/// A background thread reads up to five minutes ahead, so that the recorder need not wait for the model; a faster
/// writer blocks.
public final class PCMStream: Sendable {
    /// Sample format: little-endian, one channel.
    public enum Format: String, Sendable, CaseIterable {
        case s16le, f32le

        var bytesPerSample: Int { self == .s16le ? 2 : 4 }
    }

    private static let secondsAhead = 300

    /// How the samples are stored.
    public let format: Format
    /// In hertz.
    public let sampleRate: Int
    /// Its name in errors.
    public let name: String
    private let queue: ByteQueue

    /// Starts reading.
    ///
    /// - Parameter descriptor: is not closed here, and must stay open until the end has been read.
    /// - Throws: `MediaError` if the sample rate is out of range.
    public init(
        _ descriptor: Int32 = STDIN_FILENO, format: Format, sampleRate: Int, name: String = "standard input"
    ) throws(MediaError) {
        guard SoundLimits.rates.contains(sampleRate) else {
            throw MediaError(
                code: .unsupported, source: name,
                expected: "\(SoundLimits.rates.lowerBound) to \(SoundLimits.rates.upperBound) Hz",
                found: "\(sampleRate) Hz",
                remedy: "give the rate of the recording")
        }
        (self.format, self.sampleRate, self.name) = (format, sampleRate, name)
        let queue = ByteQueue(limit: Self.secondsAhead * sampleRate * format.bytesPerSample)
        self.queue = queue
        Thread.detachNewThread { queue.fill(from: descriptor) }
    }

    /// Waits for the next samples.
    ///
    /// - Returns: samples at the rate of the stream; empty if none arrive within 0.2 s, nil at the end.
    /// - Throws: `MediaError` if the stream cannot be read, or ends within a sample.
    func read() throws(MediaError) -> [Float]? {
        switch queue.take(multipleOf: format.bytesPerSample) {
        case .bytes(let bytes): return format.samples(bytes)
        case .nothingYet: return []
        case .end(let left) where left == 0: return nil
        case .end(let left):
            throw MediaError(
                code: .truncated, source: name, expected: "whole samples of \(format.bytesPerSample) bytes",
                found: "\(left) bytes at the end", remedy: "check that it is \(format.rawValue)")
        case .failed(let reason):
            throw MediaError(
                code: .unreadable, source: name, expected: "samples", found: reason, remedy: "check what writes to it")
        }
    }
}

/// Converts raw mono samples, appended in chunks, to 16 kHz.
package final class PCMBlocks {
    private let format: PCMStream.Format
    private var stream: ChannelStream
    /// The first bytes of a sample whose remaining bytes are in the next chunk.
    private var rest: [UInt8] = []

    /// - Parameter name: the name of the sound in errors.
    /// - Throws: `MediaError` if there is no memory.
    package init(_ format: PCMStream.Format, sampleRate: Int, name: String) throws(MediaError) {
        self.format = format
        stream = try ChannelStream(name, sampleRate: sampleRate, channels: 1, output: .mix)
    }

    /// - Returns: the samples at 16 kHz that are computed so far; the filter holds a few back.
    /// - Throws: `MediaError` if a sample is not finite.
    package func append(_ bytes: [UInt8]) throws(MediaError) -> [Float] {
        let bytes = rest + bytes
        rest = Array(bytes.suffix(bytes.count % format.bytesPerSample))
        return try stream.append(format.samples(bytes.dropLast(rest.count)))[0]
    }

    /// The samples that the filter held back. Nothing can be appended afterwards.
    package func finish() -> [Float] { stream.finish()[0] }
}

extension PCMStream.Format {
    /// Whole samples, in [-1, 1).
    func samples(_ bytes: some ContiguousBytes) -> [Float] {
        bytes.withUnsafeBytes { bytes in
            stride(from: 0, through: bytes.count - bytesPerSample, by: bytesPerSample).map { index in
                switch self {
                case .s16le:
                    Float(Int16(littleEndian: bytes.loadUnaligned(fromByteOffset: index, as: Int16.self))) / 32_768
                case .f32le:
                    Float(
                        bitPattern: UInt32(
                            littleEndian: bytes.loadUnaligned(fromByteOffset: index, as: UInt32.self)))
                }
            }
        }
    }
}

/// A bounded byte queue between a writing and a reading thread.
///
/// Sendable although it is mutable: every access holds the condition's lock.
private final class ByteQueue: @unchecked Sendable {
    enum Taken {
        case bytes([UInt8])
        case nothingYet
        case end(left: Int)
        case failed(String)
    }

    private let condition = NSCondition()
    private let limit: Int
    private var blocks: [[UInt8]] = []
    private var count = 0
    private var isEnd = false
    private var failure: String?
    /// The first bytes of a sample whose remaining bytes are in the next chunk.
    private var rest: [UInt8] = []

    init(limit: Int) { self.limit = limit }

    func fill(from descriptor: Int32) {
        var isOver = false
        while !isOver {
            var error: Int32 = 0
            let block = [UInt8](unsafeUninitializedCapacity: 1 << 16) { buffer, count in
                repeat {
                    count = Foundation.read(descriptor, buffer.baseAddress, buffer.count)
                } while count < 0 && errno == EINTR
                if count < 0 { (error, count) = (errno, 0) }
            }
            condition.lock()
            blocks.append(block)
            count += block.count
            isEnd = block.isEmpty
            failure = error == 0 ? nil : String(cString: strerror(error))
            condition.broadcast()
            while count > limit { condition.wait() }
            isOver = isEnd
            condition.unlock()
        }
    }

    func take(multipleOf size: Int) -> Taken {
        condition.lock()
        defer { condition.unlock() }
        if blocks.isEmpty, !isEnd { _ = condition.wait(until: Date(timeIntervalSinceNow: 0.2)) }
        guard !blocks.isEmpty else { return isEnd ? ended : .nothingYet }
        let bytes = rest + blocks.removeFirst()
        count -= bytes.count - rest.count
        condition.broadcast()
        rest = Array(bytes.suffix(bytes.count % size))
        if bytes.count < size { return isEnd && blocks.isEmpty ? ended : .nothingYet }
        return .bytes(bytes.dropLast(rest.count))
    }

    private var ended: Taken { failure.map(Taken.failed) ?? .end(left: rest.count) }
}
