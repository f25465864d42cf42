#include "glyphs.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>
#include <vector>

namespace tf = twofold;

namespace {

/// SplitMix64. Source: Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t next() {
    uint64_t z = state_ += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
  }
  /// In [low, high).
  double uniform(double low, double high) { return low + (high - low) * (static_cast<double>(next() >> 11) * 0x1p-53); }
  /// Bell-shaped around 0, within 3 standard deviations: the sum of three uniform numbers.
  double bell(double deviation) { return deviation * (uniform(-1, 1) + uniform(-1, 1) + uniform(-1, 1)); }
  bool chance(double probability) { return uniform(0, 1) < probability; }

 private:
  uint64_t state_;
};

struct Point {
  double x, y;  // from 0, left and top, to 1
  friend bool operator==(const Point&, const Point&) = default;
};
/// A smooth line through its points; closed if it ends where it begins.
using Stroke = std::vector<Point>;
using Glyph = std::vector<Stroke>;

// The ways in which each digit is written.
const std::array<std::vector<Glyph>, kClasses>& alphabet() {
  static const std::array<std::vector<Glyph>, kClasses> all = {{
      {{{{.5, .05}, {.8, .22}, {.85, .5}, {.8, .78}, {.5, .95}, {.2, .78}, {.15, .5}, {.2, .22}, {.5, .05}}}},
      {{{{.52, .05}, {.5, .35}, {.5, .65}, {.48, .95}}},
       {{{.3, .26}, {.54, .05}}, {{.54, .05}, {.54, .5}, {.54, .95}}},
       {{{.3, .26}, {.54, .05}}, {{.54, .05}, {.54, .5}, {.54, .95}}, {{.3, .95}, {.54, .95}, {.78, .95}}}},
      {{{{.2, .28}, {.3, .1}, {.55, .05}, {.78, .2}, {.74, .42}, {.5, .66}, {.2, .95}},
        {{.2, .95}, {.5, .94}, {.85, .95}}},
       {{{.2, .25},
         {.35, .07},
         {.65, .08},
         {.78, .28},
         {.62, .55},
         {.36, .82},
         {.2, .9},
         {.24, .76},
         {.4, .8},
         {.6, .93},
         {.86, .88}}}},
      {{{{.2, .12}, {.5, .05}, {.76, .2}, {.68, .4}, {.42, .48}},
        {{.42, .48}, {.74, .56}, {.82, .75}, {.62, .93}, {.35, .95}, {.17, .84}}},
       {{{.18, .07}, {.5, .06}, {.8, .07}},
        {{.8, .07}, {.45, .42}},
        {{.45, .42}, {.76, .52}, {.8, .76}, {.56, .95}, {.2, .86}}}},
      {{{{.62, .05}, {.4, .35}, {.15, .66}}, {{.15, .66}, {.5, .66}, {.88, .66}}, {{.62, .05}, {.63, .5}, {.63, .95}}},
       {{{.27, .08}, {.22, .3}, {.2, .52}}, {{.2, .52}, {.45, .54}, {.82, .5}}, {{.74, .08}, {.71, .5}, {.68, .95}}}},
      {{{{.78, .06}, {.3, .06}},
        {{.3, .06}, {.26, .45}},
        {{.26, .45}, {.5, .38}, {.77, .52}, {.8, .74}, {.58, .94}, {.32, .94}, {.17, .82}}}},
      {{{{.7, .06},
         {.42, .2},
         {.25, .48},
         {.21, .74},
         {.4, .94},
         {.66, .92},
         {.8, .72},
         {.66, .53},
         {.42, .54},
         {.22, .72}}},
       {{{.52, .05}, {.3, .4}, {.22, .7}, {.4, .93}, {.68, .9}, {.72, .68}, {.5, .58}, {.25, .68}}}},
      {{{{.15, .08}, {.5, .07}, {.85, .08}}, {{.85, .08}, {.6, .45}, {.42, .95}}},
       {{{.15, .08}, {.5, .07}, {.85, .08}}, {{.85, .08}, {.6, .45}, {.42, .95}}, {{.36, .5}, {.78, .48}}}},
      {{{{.5, .05}, {.74, .14}, {.74, .35}, {.5, .47}, {.26, .35}, {.26, .14}, {.5, .05}},
        {{.5, .47}, {.8, .6}, {.8, .84}, {.5, .95}, {.2, .84}, {.2, .6}, {.5, .47}}},
       {{{.74, .16}, {.5, .05}, {.27, .2}, {.5, .46}, {.78, .74}, {.5, .95}, {.22, .76}, {.5, .46}, {.74, .16}}}},
      {{{{.5, .05}, {.72, .14}, {.77, .3}, {.6, .47}, {.36, .46}, {.23, .28}, {.3, .11}, {.5, .05}},
        {{.77, .3}, {.74, .62}, {.6, .95}}},
       {{{.76, .2}, {.52, .06}, {.26, .2}, {.32, .46}, {.6, .46}, {.76, .2}},
        {{.76, .2}, {.79, .5}, {.7, .82}, {.46, .95}, {.24, .86}}}},
  }};
  return all;
}

/// Where a writer's hand puts the points of a glyph, in pixels.
class Hand {
 public:
  explicit Hand(Random& random) {
    const auto draw = [&](double deviation) { return random.bell(deviation); };
    for (double& c : bend_) c = draw(.14);
    // A turn by 2 atan(t) without the library's functions, which differ by a bit from one to the next.
    const double t = draw(.09), cosine = (1 - t * t) / (1 + t * t), sine = 2 * t / (1 + t * t);
    const double slant = draw(.18), width = random.uniform(10, 19), height = random.uniform(14, 21);
    xx_ = width * cosine, xy_ = width * (cosine * slant - sine);
    yx_ = height * sine, yy_ = height * (sine * slant + cosine);
    x_ = kSide / 2. + draw(1.3), y_ = kSide / 2. + draw(1.3);
    tremor_ = random.uniform(.01, .034);
  }

  /// Points of a glyph that are one stay one.
  Point put(Point p, Random& random) {
    for (const auto& [from, to] : placed_)
      if (from == p) return to;
    const double u = p.x - .5 + random.bell(tremor_), v = p.y - .5 + random.bell(tremor_);
    const double bent_u = u + bend_[0] * u * v + bend_[1] * v * v + bend_[2] * u * u;
    const double bent_v = v + bend_[3] * u * v + bend_[4] * v * v + bend_[5] * u * u;
    const Point to = {x_ + xx_ * bent_u + xy_ * bent_v, y_ + yx_ * bent_u + yy_ * bent_v};
    placed_.emplace_back(p, to);
    return to;
  }

 private:
  double bend_[6], xx_, xy_, yx_, yy_, x_, y_, tremor_;
  std::vector<std::pair<Point, Point>> placed_;
};

/// Grey levels, from 0 to 1.
using Canvas = std::array<double, kSide * kSide>;

/// A straight piece of a pen's line: 1 within `radius` of it, and falling to 0 over one pixel beyond.
void draw_piece(Canvas& canvas, Point a, Point b, double radius) {
  const auto first = [&](double c) { return static_cast<int64_t>(std::clamp(c - radius - 1, 0., double{kSide - 1})); };
  const auto last = [&](double c) { return static_cast<int64_t>(std::clamp(c + radius + 1, 0., double{kSide - 1})); };
  const double dx = b.x - a.x, dy = b.y - a.y, square = dx * dx + dy * dy;
  for (int64_t row = first(std::min(a.y, b.y)); row <= last(std::max(a.y, b.y)); ++row)
    for (int64_t column = first(std::min(a.x, b.x)); column <= last(std::max(a.x, b.x)); ++column) {
      const double px = static_cast<double>(column) + .5 - a.x, py = static_cast<double>(row) + .5 - a.y;
      const double along = square > 0 ? std::clamp((px * dx + py * dy) / square, 0., 1.) : 0.;
      const double ex = px - along * dx, ey = py - along * dy;
      double& grey = canvas[static_cast<size_t>(row * kSide + column)];
      grey = std::max(grey, std::clamp(radius + 1 - std::sqrt(ex * ex + ey * ey), 0., 1.));
    }
}

/// Catmull and Rom's spline through the points, in straight pieces. Beyond an open stroke's ends lie their mirrors.
void draw_stroke(Canvas& canvas, const Stroke& points, double radius) {
  const size_t n = points.size();
  const bool closed = points.front() == points.back();
  const auto mirror = [](Point end, Point next) { return Point{2 * end.x - next.x, 2 * end.y - next.y}; };
  for (size_t i = 0; i + 1 < n; ++i) {
    const Point b = points[i], c = points[i + 1];
    const Point a = i > 0 ? points[i - 1] : closed ? points[n - 2] : mirror(b, c);
    const Point d = i + 2 < n ? points[i + 2] : closed ? points[1] : mirror(c, b);
    const auto at = [](double t, double p, double q, double r, double s) {
      return .5 * (2 * q + t * ((r - p) + t * ((2 * p - 5 * q + 4 * r - s) + t * (3 * q - p - 3 * r + s))));
    };
    constexpr int kPieces = 5;
    Point from = b;
    for (int k = 1; k <= kPieces; ++k) {
      const double t = static_cast<double>(k) / kPieces;
      const Point to = {at(t, a.x, b.x, c.x, d.x), at(t, a.y, b.y, c.y, d.y)};
      draw_piece(canvas, from, to, radius);
      from = to;
    }
  }
}

/// A mean over each pixel's neighbours, those beside it counting `share` of the pixel itself, those at corners
/// share^2.
Canvas blurred(const Canvas& canvas, double share) {
  Canvas rows{}, all{};
  const double whole = 1 / (1 + 2 * share);
  for (size_t i = 0; i < canvas.size(); ++i) {
    const size_t column = i % kSide;
    const double left = column > 0 ? canvas[i - 1] : 0, right = column + 1 < kSide ? canvas[i + 1] : 0;
    rows[i] = (canvas[i] + share * (left + right)) * whole;
  }
  for (size_t i = 0; i < rows.size(); ++i) {
    const double up = i >= kSide ? rows[i - kSide] : 0, down = i + kSide < rows.size() ? rows[i + kSide] : 0;
    all[i] = (rows[i] + share * (up + down)) * whole;
  }
  return all;
}

void draw(uint8_t digit, Random& random, uint8_t* pixels) {
  const auto& ways = alphabet()[digit];
  const Glyph& glyph = ways[random.next() % ways.size()];
  Hand hand(random);
  const double radius = random.uniform(.3, 1.3);
  Canvas canvas{};
  for (Stroke stroke : glyph) {
    for (Point& p : stroke) p = hand.put(p, random);
    draw_stroke(canvas, stroke, radius);
  }
  if (random.chance(.5)) {  // a scratch on the paper
    const Point from = {random.uniform(0, kSide), random.uniform(0, kSide)};
    draw_piece(canvas, from, {from.x + random.bell(4), from.y + random.bell(4)}, .3);
  }
  canvas = blurred(canvas, random.uniform(0, .5));
  const double contrast = random.uniform(.4, 1), dark = random.uniform(0, .2), noise = random.uniform(0, .18);
  for (size_t i = 0; i < canvas.size(); ++i) {
    const double grey = dark + contrast * (1 - dark) * canvas[i] + random.bell(noise);
    pixels[i] = static_cast<uint8_t>(std::lround(255 * std::clamp(grey, 0., 1.)));
  }
}

}  // namespace

Digits draw_digits(int64_t count, uint64_t seed, uint64_t stream) {
  std::vector<uint8_t> images(static_cast<size_t>(count * kSide * kSide)), labels(static_cast<size_t>(count));
  Random streams(seed);
  for (uint64_t skipped = 0; skipped < stream; ++skipped) streams.next();
  const uint64_t start = streams.next();
  for (size_t i = 0; i < labels.size(); ++i) {
    Random random(Random(start + i).next());
    labels[i] = static_cast<uint8_t>(random.next() % kClasses);
    draw(labels[i], random, images.data() + i * kSide * kSide);
  }
  return {tf::tensor(images, {count, kSide, kSide}), tf::tensor(labels, {count})};
}
