import CKernels
import Foundation
import TestSupport
import Testing

@testable import Tensors

@Suite struct DotProductAttentionTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let heads: (queries: Int, keyValues: Int)
        let size: Int
        let positions: [Range<Int>]  // of the segments
        let visible: [Range<Int>]

        var queries: Int { visible.count }
    }

    static let cases = [
        Case(
            testDescription: "causal prompt", heads: (4, 2), size: 32, positions: [0..<150],
            visible: (0..<150).map { 0..<$0 + 1 }),
        Case(
            testDescription: "sliding window over a ring in two pieces", heads: (8, 1), size: 40,
            positions: [600..<700, 130..<600],
            visible: (500..<700).map { $0 - 299..<$0 + 1 }),
        Case(
            testDescription: "picture that sees itself in a causal prompt", heads: (2, 2), size: 17,
            positions: [0..<90],
            visible: (0..<90).map { 0..<($0 < 20 || $0 >= 80 ? $0 + 1 : 80) }),
        Case(
            testDescription: "everything visible", heads: (3, 3), size: 64, positions: [0..<333],
            visible: [Range<Int>](repeating: 0..<333, count: 333)),
        Case(
            testDescription: "one query, many keys", heads: (8, 1), size: 64, positions: [100..<3001, 3001..<3500],
            visible: [101..<3500]),
        Case(
            testDescription: "one query, one key", heads: (2, 1), size: 8, positions: [5..<9], visible: [7..<8]),
        Case(
            testDescription: "queries that see nothing in common", heads: (1, 1), size: 8, positions: [0..<2000],
            visible: [3..<5, 1900..<2000, 0..<1, 900..<1300]),
    ]

    /// Tiles, parts, groups and segments against the definition in f64, with every set of kernels.
    @Test(arguments: cases, KernelSet.available)
    func equalsTheDefinition(test: Case, set: KernelSet) {
        let (found, expected) = (attend(test, Device(threadCount: 2, kernels: set)), definition(test))
        // Scores (magnitude under 4 for these values) and their exponentials have an error of about size · eps of that;
        // sums of positive weights have as little, and values are of magnitude at most 1: measured 1.3e-6 at most.
        expectClose(found, expected, absolute: 3e-6)
    }

    /// Quantized keys and values: the definition applied to the dequantized ones.
    @Test(arguments: cases, [ElementType.float16, .q8_0])
    func widensWhatIsStoredInFewerBits(test: Case, type: ElementType) {
        guard test.size.isMultiple(of: type.blockLength) else { return }
        let device = Device(threadCount: 2)
        func rounded(_ values: [Float]) -> [Float] {
            var tensor = Tensor(zeros: [values.count / test.size, test.size], type, on: device)
            tensor.replaceRows(from: 0, with: Tensor(values, tensor.shape, on: device))
            return tensor.toArray()
        }
        let (q, k, v) = operands(test)
        expectClose(attend(test, device, type), definition(test, (q, rounded(k), rounded(v))), absolute: 3e-6)
        #expect(attend(test, Device(threadCount: 5), type) == attend(test, device, type))
    }

    // MARK: Few bits

    /// Quantized types, with head sizes of E2B in addition to the cases that fit. Attention reads q8_0 in place, and the
    /// rotated type if there are few queries; many queries share tiles of bytes.
    static let fewBits = [KeyValueType.q8_0, .rotated]
    static let fewBitsCases =
        cases.filter { $0.size.isMultiple(of: 32) } + [
            Case(
                testDescription: "sliding layer of E2B", heads: (8, 1), size: 256, positions: [0..<200],
                visible: (150..<173).map { $0 - 100..<$0 + 1 }),
            Case(
                testDescription: "full layer with two key-value heads", heads: (6, 2), size: 512, positions: [0..<300],
                visible: (270..<300).map { 0..<$0 + 1 }),
        ]

    /// The definition applied to the dequantized cache, with every set of kernels.
    @Test(arguments: fewBitsCases, fewBits.flatMap { type in KernelSet.available.map { (type, $0) } })
    func readsFewBitsWhereTheyLie(test: Case, stored: (type: KeyValueType, set: KernelSet)) {
        let device = Device(threadCount: 2, kernels: stored.set)
        let (q, k, v) = operands(test)
        let found = attend(test, device, fewBits: stored.type)
        let queries = quantized(q, test, device, stored.type)
        let expected = definition(
            test, (queries, readBack(test, device, k, stored.type, 0), readBack(test, device, v, stored.type, 1)))
        // Queries are quantized in the definition too. What is left are integer weights: a step is 2^-15 of the largest for
        // q8_0 and 1 / 254 for rotated, an error has 0.3 steps (standard deviation), and √256 times that, times values of
        // 0.58, is 3e-4 and 1.1e-2, some 3 times that. The definition of the kernels has none.
        let isExact = stored.set.name == "scalar"
        expectClose(found, expected, absolute: stored.type == .q8_0 || isExact ? 5e-4 : 2e-2)
    }

    /// The queries that the integers stand for.
    private func quantized(_ queries: [Float], _ test: Case, _ device: Device, _ type: KeyValueType) -> [Float] {
        let layout = KeyValueBlocks(type, heads: test.heads.keyValues, size: test.size)!
        var result: [Float] = []
        for first in stride(from: 0, to: queries.count, by: test.size) {
            var row = Array(queries[first..<first + test.size])
            var (scale, sum) = (Float(0), Int32(0))
            var words = [Int16](repeating: 0, count: test.size)
            row.withUnsafeMutableBufferPointer { row in
                layout.rotation?.apply(to: row.baseAddress!, device.kernels.table)
                words.withUnsafeMutableBytes { bytes in
                    quantize_query(bytes.baseAddress!, &scale, &sum, row.baseAddress!, test.size, layout.type)
                    for index in row.indices {
                        let value =
                            layout.type == CACHE_q8_0
                            ? Float(bytes.bindMemory(to: Int16.self)[index])
                            : Float(bytes.bindMemory(to: Int8.self)[index])
                        row[index] = value * scale
                    }
                }
                layout.rotation?.undo(on: row.baseAddress!, device.kernels.table)
            }
            result += row
        }
        return result
    }

    /// A result is bit-identical whatever the other queries, threads, segments and unused positions of the blocks.
    @Test(arguments: fewBitsCases, fewBits.flatMap { type in KernelSet.available.map { (type, $0) } })
    func fewBitsDependOnTheQueryAlone(test: Case, stored: (type: KeyValueType, set: KernelSet)) {
        let device = Device(threadCount: 2, kernels: stored.set)
        let all = attend(test, device, fewBits: stored.type)
        let width = test.heads.queries * test.size
        for chunk in [1, 3, 16] where test.queries > chunk {
            for first in stride(from: 0, to: test.queries, by: chunk * 4) {
                let some = first..<min(first + chunk, test.queries)
                #expect(
                    attend(test, device, queries: some, fewBits: stored.type)
                        == Array(all[some.lowerBound * width..<some.upperBound * width]))
            }
        }
        #expect(attend(test, Device(threadCount: 5, kernels: stored.set), fewBits: stored.type) == all)
        let single = (0..<test.queries).map { $0..<$0 + 1 }
        #expect(attend(test, device, sequences: single, fewBits: stored.type) == all)
    }

    /// A quantized vector is as close to the original as the code allows, and has the same norm.
    @Test(arguments: [(KeyValueType.q8_0, 0.0001, 0.0001), (.rotated, 0.012, 0.04)], [32, 64, 128, 256, 512])
    func fewBitsKeepVectors(stored: (type: KeyValueType, keys: Double, values: Double), size: Int) {
        let device = Device(threadCount: 1)
        let test = Case(testDescription: "", heads: (1, 1), size: size, positions: [0..<64], visible: [0..<64])
        var numbers = SeededNumbers(seed: 3)
        // Far from Gaussian: a few elements hold most.
        let vectors = numbers.floats(64 * size).enumerated().map { $0 % 7 == 0 ? 30 * $1 : $1 }
        for (part, bound) in [stored.keys, stored.values].enumerated() {
            let found = readBack(test, device, vectors, stored.type, part)
            let squares = vectors.reduce(0.0) { $0 + Double($1) * Double($1) }
            let errors = zip(found, vectors).reduce(0.0) { $0 + Double($1.0 - $1.1) * Double($1.0 - $1.1) }
            let product = zip(found, vectors).reduce(0.0) { $0 + Double($1.0) * Double($1.1) }
            // For Gaussian values 0.0095 and 0.035 (Lloyd and Max), and a little more for the exact product.
            #expect(errors < bound * squares, "\(errors / squares)")
            #expect(abs(product / squares - 1) < 0.002, "\(product / squares)")
        }
    }

    @Test(arguments: fewBits)
    func oneNumberThatIsNoneMakesNothingElseSo(type: KeyValueType) {
        let device = Device(threadCount: 1)
        let test = Case(testDescription: "", heads: (1, 1), size: 64, positions: [0..<32], visible: [0..<32])
        var numbers = SeededNumbers(seed: 3)
        var vectors = numbers.floats(32 * 64)
        vectors[5 * 64 + 40] = .nan
        let found = readBack(test, device, vectors, type, 0)
        #expect(found[5 * 64 + 40].isNaN)
        #expect(found.enumerated().allSatisfy { $0.element.isFinite || $0.offset / 64 == 5 })
    }

    /// - Parameter part: 0 of keys, 1 of values.
    private func readBack(_ test: Case, _ device: Device, _ rows: [Float], _ type: KeyValueType, _ part: Int) -> [Float]
    {
        let (heads, size) = (test.heads.keyValues, test.size)
        let (count, layout) = (rows.count / heads / size, KeyValueBlocks(type, heads: heads, size: size)!)
        var blocks = layout.makeTensor(blocks: (count + 15) / 16, on: device)
        let tensor = Tensor(rows, [count, heads, size], on: device)
        layout.write(tensor, tensor, into: &blocks, at: 0)
        var result: [Float] = []
        for index in 0..<count * heads {
            var row = [Float](repeating: 0, count: size)
            cache_read(
                &row, layout.block(index / heads / 16, head: index % heads, of: blocks), index / heads % 16, size,
                part == 0 ? CACHE_keys : CACHE_values, layout.type)
            row.withUnsafeMutableBufferPointer { layout.rotation?.undo(on: $0.baseAddress!, device.kernels.table) }
            result += row
        }
        return result
    }

    // MARK: Invariance

    @Test(arguments: cases)
    func doesNotDependOnTheNumberOfThreads(test: Case) {
        let one = attend(test, Device(threadCount: 1))
        for threads in [2, 5] { #expect(attend(test, Device(threadCount: threads)) == one) }
    }

    /// Nor on which other queries come with it, nor on how positions are cut into segments.
    @Test(arguments: cases, KernelSet.available)
    func dependsOnItsQueryAndWhatItSeesAlone(test: Case, set: KernelSet) {
        let device = Device(threadCount: 2, kernels: set)
        let (all, width) = (attend(test, device), test.heads.queries * test.size)
        for chunk in [1, 7] where test.queries > 1 {
            for first in stride(from: 0, to: test.queries, by: chunk * 4) {
                let some = first..<min(first + chunk, test.queries)
                #expect(
                    attend(test, device, queries: some) == Array(all[some.lowerBound * width..<some.upperBound * width])
                )
            }
        }
        let pieces = test.positions.flatMap { positions in
            stride(from: positions.lowerBound, to: positions.upperBound, by: 77).map {
                $0..<min($0 + 77, positions.upperBound)
            }
        }
        #expect(attend(test, device, positions: pieces) == all)
    }

    /// Concurrent and consecutive sequences give the same results.
    @Test(arguments: cases.filter { $0.queries > 1 }, [false, true])
    func severalSequencesGiveWhatEachGivesAlone(test: Case, areUneven: Bool) {
        let device = Device(threadCount: 3)
        let rest = areUneven ? 2..<test.queries : test.queries..<test.queries
        let single = (0..<(areUneven ? 2 : test.queries)).map { $0..<$0 + 1 }
        let sequences = (single + [rest]).filter { !$0.isEmpty }
        #expect(
            attend(test, device, .float16, interleaved: true, sequences: sequences) == attend(test, device, .float16))
    }

    /// Interleaved keys give the same bits as rows, for many queries, which copy them, and for few, which read them in
    /// place; unused positions of the blocks hold other keys and values.
    @Test(arguments: cases, KernelSet.available)
    func keysMayLieInterleaved(test: Case, set: KernelSet) {
        let device = Device(threadCount: 2, kernels: set)
        let (all, width) = (attend(test, device, .float16), test.heads.queries * test.size)
        #expect(attend(test, device, .float16, interleaved: true) == all)
        for chunk in [1, 3, 16] where test.queries > chunk {
            for first in stride(from: 0, to: test.queries, by: chunk * 4) {
                let some = first..<min(first + chunk, test.queries)
                #expect(
                    attend(test, device, .float16, queries: some, interleaved: true)
                        == Array(all[some.lowerBound * width..<some.upperBound * width]))
            }
        }
    }

    /// Tiles that all queries share are copied a block at a time, or all at once: the same bits.
    @Test(arguments: cases, [ElementType.float32, .float16])
    func doesNotDependOnHowManyTilesAreShared(test: Case, type: ElementType) {
        let device = Device(threadCount: 2)
        #expect(attend(test, device, type, sharedCount: 1) == attend(test, device, type))
    }

    /// Scores far beyond the range of e^x: the running maximum keeps them in.
    @Test func largeScores() {
        let device = Device(threadCount: 2)
        let queries = Tensor([100, 0], [1, 1, 2], on: device)
        let keys = Tensor((0..<1000).flatMap { [Float($0), 0] }, [1000, 1, 2], on: device)
        let values = Tensor((0..<1000).flatMap { [Float($0), 1] }, [1000, 1, 2], on: device)
        let segment = KeyValueSegment(firstPosition: 0, keys: keys, values: values)
        #expect(queries.attending(to: [segment], visible: [0..<1000]).toArray() == [999, 1])
    }

    private func operands(_ test: Case) -> (q: [Float], k: [Float], v: [Float]) {
        var numbers = SeededNumbers(seed: 8)
        let last = test.positions.map(\.upperBound).max()!
        return (
            numbers.floats(test.queries * test.heads.queries * test.size),
            numbers.floats(last * test.heads.keyValues * test.size),
            numbers.floats(last * test.heads.keyValues * test.size)
        )
    }

    private func attend(
        _ test: Case, _ device: Device, _ type: ElementType = .float32, queries: Range<Int>? = nil,
        positions: [Range<Int>]? = nil, interleaved: Bool = false, sequences: [Range<Int>]? = nil,
        sharedCount: Int = 1 << 24, fewBits: KeyValueType? = nil
    ) -> [Float] {
        let (q, k, v) = operands(test)
        let queries = queries ?? 0..<test.queries
        let (width, queryWidth) = (test.heads.keyValues * test.size, test.heads.queries * test.size)
        let segments = (positions ?? test.positions).map { range in
            if interleaved { return interleavedSegment(test, device, range, k, v) }
            if let fewBits { return segment(of: fewBits, test, device, range, k, v) }
            func part(_ all: [Float]) -> Tensor {
                let shape: Shape = [range.count, test.heads.keyValues, test.size]
                var stored = Tensor(zeros: shape, type, on: device)
                stored.replaceRows(
                    from: 0,
                    with: Tensor(Array(all[range.lowerBound * width..<range.upperBound * width]), shape, on: device))
                return stored
            }
            return KeyValueSegment(firstPosition: range.lowerBound, keys: part(k), values: part(v))
        }
        let some = Array(q[queries.lowerBound * queryWidth..<queries.upperBound * queryWidth])
        return Tensor(some, [queries.count, test.heads.queries, test.size], on: device)
            .attending(
                (sequences ?? [0..<queries.count]).map { rows in
                    AttendedRows(rows: rows, segments: segments, visible: Array(Array(test.visible[queries])[rows]))
                }, sharedCount: sharedCount
            ).toArray()
    }

    /// The positions of `range`, starting and ending within blocks if others precede or follow; other positions' keys
    /// and values fill the rest of the blocks.
    private func segment(
        of type: KeyValueType, _ test: Case, _ device: Device, _ range: Range<Int>, _ k: [Float], _ v: [Float]
    ) -> KeyValueSegment {
        let (layout, width) = (
            KeyValueBlocks(type, heads: test.heads.keyValues, size: test.size)!, test.heads.keyValues * test.size
        )
        let range = cut(range, test)
        let start = range.lowerBound / 16 * 16
        var blocks = layout.makeTensor(blocks: (range.upperBound - start + 15) / 16, on: device)
        let shape: Shape = [blocks.shape[0] * 16, test.heads.keyValues, test.size]
        let other = Tensor([Float](repeating: 1000, count: shape.count), shape, on: device)
        layout.write(other, other, into: &blocks, at: 0)
        func part(_ all: [Float]) -> Tensor {
            let some = Array(all[range.lowerBound * width..<range.upperBound * width])
            return Tensor(some, shape.withFirst(range.count), on: device)
        }
        layout.write(part(k), part(v), into: &blocks, at: range.lowerBound - start)
        return KeyValueSegment(positions: range, blocks: blocks, layout)
    }

    private func cut(_ range: Range<Int>, _ test: Case) -> Range<Int> {
        func cut(_ bound: Int) -> Int {
            let isInside =
                test.positions.contains { $0.lowerBound == bound }
                && test.positions.contains { $0.upperBound == bound }
            return isInside ? bound / 16 * 16 : bound
        }
        return cut(range.lowerBound)..<cut(range.upperBound)
    }

    /// The same of interleaved keys.
    private func interleavedSegment(
        _ test: Case, _ device: Device, _ range: Range<Int>, _ k: [Float], _ v: [Float]
    ) -> KeyValueSegment {
        let (together, width) = (KeyValueSegment.keysTogether, test.heads.keyValues * test.size)
        let range = cut(range, test)
        let start = range.lowerBound / together * together
        let blocks = (range.upperBound - start + together - 1) / together
        let shape: Shape = [blocks * together, test.heads.keyValues, test.size]
        let other = Tensor([Float](repeating: 1000, count: shape.count), shape, on: device)
        func part(_ all: [Float]) -> Tensor {
            let some = Array(all[range.lowerBound * width..<range.upperBound * width])
            return Tensor(some, shape.withFirst(range.count), on: device)
        }
        var keys = Tensor.interleavedKeys(
            blocks: blocks, heads: test.heads.keyValues, size: test.size, on: device)
        keys.interleaveKeys(from: 0, other)
        keys.interleaveKeys(from: range.lowerBound - start, part(k))
        var values = Tensor(zeros: shape, .float16, on: device)
        values.replaceRows(from: 0, with: other)
        values.replaceRows(from: range.lowerBound - start, with: part(v))
        return KeyValueSegment(positions: range, interleavedKeys: keys, values: values)
    }

    private func definition(_ test: Case) -> [Float] { definition(test, operands(test)) }

    private func definition(_ test: Case, _ operands: (q: [Float], k: [Float], v: [Float])) -> [Float] {
        let (q, k, v) = operands
        let (heads, size) = (test.heads, test.size)
        var out: [Float] = []
        for (query, visible) in test.visible.enumerated() {
            for head in 0..<heads.queries {
                let shared = head / (heads.queries / heads.keyValues)
                func at(_ position: Int) -> Int { (position * heads.keyValues + shared) * size }
                let weights = visible.map { position in
                    exp(
                        (0..<size).reduce(0.0) {
                            $0 + Double(q[(query * heads.queries + head) * size + $1]) * Double(k[at(position) + $1])
                        })
                }
                let total = weights.reduce(0, +)
                for c in 0..<size {
                    out.append(Float(zip(visible, weights).reduce(0.0) { $0 + $1.1 * Double(v[at($1.0) + c]) } / total))
                }
            }
        }
        return out
    }
}
